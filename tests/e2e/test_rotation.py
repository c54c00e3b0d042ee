"""The cluster's secret is changed while the cluster works."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import luabus
from luabus.errors import AuthError
from tests.support.demo import ROOT, Demo


class Load:
    """Requests over one connection that stays, and over new ones all the time, by the secret and by a client's key."""

    def __init__(self, demo: Demo, key_file: Path) -> None:
        self._demo = demo
        self._key_file = key_file
        self.answered = self.connected = 0
        self._ended = asyncio.Event()

    async def steady(self) -> None:
        async with self._demo.client() as bus:
            while not self._ended.is_set():
                for route in (bus.random("mail"), bus.random("gateway"), bus.master("director")):
                    assert await route.request("luabus.ping", timeout=5.0) is None
                    self.answered += 1
                await asyncio.sleep(0.002)

    async def fresh(self) -> None:
        while not self._ended.is_set():
            async with self._demo.client() as bus:
                assert await bus.random("mail").request("luabus.ping", timeout=5.0) is None
                self.connected += 1

    async def fresh_service(self) -> None:
        while not self._ended.is_set():
            async with luabus.connect(self._demo.routers, key_file=self._key_file) as bus:
                assert await bus.hash("mail", "alice").request("luabus.ping", timeout=5.0) is None
                self.connected += 1

    def end(self) -> None:
        self._ended.set()


async def interrupted(demo: Demo, after_s: float) -> None:
    """`secret rotate`, and `kill -9` for it."""
    rotating = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "launcher", "secret", "rotate", "--grace", "30",
        cwd=demo.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await asyncio.sleep(after_s)
    rotating.kill()
    await rotating.wait()


@pytest.mark.timeout(240)
async def test_no_request_is_lost_while_the_secret_changes_and_nobody_gets_in_with_the_old_one(
    tmp_path: Path,
) -> None:
    demo = Demo(tmp_path)
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.err
    try:
        run_dir = tmp_path / ".luabus"
        old = (run_dir / "secret").read_text()
        old_key = (run_dir / "keys/gateway.key").read_text()
        pids = {row["name"]: row["pid"] for row in (await demo.json("status"))["processes"]}
        load = Load(demo, run_dir / "keys/gateway.key")
        async with asyncio.TaskGroup() as tasks:
            for work in (load.steady(), load.fresh(), load.fresh_service()):
                tasks.create_task(work)
            for after_s in (0.15, 0.2, 0.25, 0.3, 0.5):
                await interrupted(demo, after_s)
            restarted = await demo.verb("restart", "robot")
            assert restarted.code == 0, restarted.err
            rotated = await demo.json("secret", "rotate", "--grace", "3")
            assert [step["step"] for step in rotated["steps"]][-2:] == ["wait", "done"]
            await asyncio.sleep(0.5)
            load.end()
        assert load.answered > 300
        assert load.connected > 30
        new = (run_dir / "secret").read_text()
        assert new != old
        assert not (run_dir / "secret.next").exists()
        (tmp_path / "old.key").write_text(old_key)
        with pytest.raises(AuthError):
            await luabus.connect(demo.routers, secret=old)
        with pytest.raises(AuthError):
            await luabus.connect(demo.routers, key_file=tmp_path / "old.key")
        await demo.hit("router.1")  # all must connect to it anew, by their new keys
        async with asyncio.timeout(30):
            while (status := await demo.json("status"))["health"]["level"] != "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # each look is a process of its own
        after = {row["name"]: row["pid"] for row in status["processes"]}
        assert {name for name in pids if pids[name] != after[name]} == {"router.1", "robot.1"}
        said = "".join(path.read_text() for path in [*run_dir.glob("logs/*"), *run_dir.glob("*.jsonl")])
        assert '"audit.secret"' in said
        assert not any(secret in said for secret in (new, old, old_key.split()[1]))
    finally:
        down = await demo.verb("down")
    assert down.code == 0, down.err
