"""Another user of the machine takes a router's port while it is down, and passes on what everybody says there."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.demo import ROOT, Demo
from tests.support.waiting import until

NOBODY = 65534
HELLO, WELCOME, BYE = 1, 3, 6

pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")


@pytest.mark.timeout(180)
async def test_a_relay_in_a_routers_place_gets_in_nowhere(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.err
    control = json.loads((tmp_path / ".luabus/control.json").read_text())["port"]
    relay = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "tests/support/relay.py"), str(NOBODY), str(demo.port + 1), str(demo.port), str(control),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert relay.stdout is not None
    seen: list[list[int]] = []
    lines: list[str] = []

    async def read() -> None:
        assert relay.stdout is not None
        while line := (await relay.stdout.readline()).decode():
            lines.append(line.strip())
            if not line.startswith("listens"):
                seen.append([int(word) for word in line.split()])

    reading = asyncio.create_task(read())
    try:
        await demo.hit("router.2")
        await until(lambda: lines[:1] == [f"listens {NOBODY}"], what="the relay has router.2's port")
        for target in (demo.port, control):
            await until(
                lambda target=target: sum(port == target for port, _ in seen) >= 8,  # type: ignore[misc]
                what=f"members were led to {target}",
                timeout_s=60.0,
            )
        kinds = {(port, kind) for port, kind in seen}
        assert (demo.port, WELCOME) not in kinds
        assert (control, WELCOME) not in kinds
        assert {kind for port, kind in kinds} <= {HELLO, BYE}
        assert (demo.port, BYE) in kinds
        status = await demo.json("status")
        assert status["health"]["level"] != "ok", "the loss of a router is no health"
        log = "".join(path.read_text() for path in (tmp_path / ".luabus/logs").glob("*.log"))
        passed_on = f"made to 127.0.0.1:{demo.port + 1} and has come to 127.0.0.1:{demo.port}"
        assert passed_on in log
        async with demo.client() as bus:
            assert await bus.random("mail").request("luabus.ping") is None
    finally:
        relay.kill()
        await relay.wait()
        await reading
        down = await demo.verb("down")
    assert down.code == 0, down.err
