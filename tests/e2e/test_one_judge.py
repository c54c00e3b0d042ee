"""One cluster, one verdict: `status`, its JSON and exit code, the API and the page say the same of what happened to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.demo import Demo
from tests.support.ports import free_ports
from tests.support.waiting import until

DAEMON = (
    "import http.server as h, signal, sys; signal.signal(15, lambda *_: sys.exit(0)); "
    "h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler).serve_forever()"
)

ADDED = """
[services.web]
command = ["{python}", "-c", "{daemon}"]
ready = {{ tcp = {port} }}

[services.broken]
command = ["{python}", "-c", "import sys; sys.exit(3)"]
restart.policy = "never"
"""


class Judged:
    """What each of the doors says: level, and code and subject of every problem."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo

    async def by_command_line(self) -> tuple[int, dict[str, Any]]:
        done = await self.demo.verb("status", "--json")
        return done.code, json.loads(done.out)["health"]

    async def by_api(self) -> dict[str, Any]:
        return json.loads(await self._get("/api/v1/status"))

    async def page(self) -> str:
        return await self._get("/processes")

    async def _get(self, path: str) -> str:
        token = (self.demo.folder / ".luabus/dashboard.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.demo.http}{path}", headers=headers) as answer,
        ):
            return await answer.text()

    async def agreed(self, level: str, *problems: tuple[str, str]) -> None:
        """Waits until command line and API say this, and compares the rest of what they say."""
        expected = (level, set(problems))
        command_line: dict[str, Any] = {}
        api: dict[str, Any] = {}

        async def look() -> bool:
            nonlocal command_line, api
            api = await self.by_api()
            if (
                _essence(api) != expected
            ):  # a process is started for the command line alone when this has come
                return False
            code, command_line = await self.by_command_line()
            assert code == (0 if command_line["level"] == "ok" else 1)
            return _essence(command_line) == expected

        try:
            await until_true(look, 30.0)
        except TimeoutError:
            raise AssertionError(f"expected {expected}; status: {command_line}; API: {api}") from None
        assert api["sentence"] == command_line["sentence"]
        assert api["problems"] == command_line["problems"]
        page = await self.page()
        assert f'class="pill pill-{level}"' in page
        done = await self.demo.verb("status")
        assert all(f"! {problem['text']}" in done.out for problem in command_line["problems"])


def _essence(health: dict[str, Any]) -> tuple[str, set[tuple[str, str]]]:
    return health["level"], {(problem["code"], problem["about"]) for problem in health["problems"]}


async def until_true(look: Callable[[], Awaitable[bool]], patience_s: float) -> None:
    """Asks again and again: only those who are asked know."""
    async with asyncio.timeout(patience_s):
        while not await look():  # noqa: ASYNC110 - other processes tell of no event
            await asyncio.sleep(0.1)


@pytest.fixture
async def judged(tmp_path: Path) -> AsyncIterator[Judged]:
    demo = Demo(tmp_path, ttl=2.0)
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.out + done.err
    try:
        yield Judged(demo)
    finally:
        await demo.verb("down")
        await until(lambda: not demo.processes(), 10.0, f"the end of {demo.processes()}")


async def test_what_people_stop_is_named_and_what_is_missed_is_bad(judged: Judged) -> None:
    verb = judged.demo.verb
    await judged.agreed("ok")
    await verb("stop", "mail.2")
    await judged.agreed("warn", ("health.was-stopped-by", "mail.2"))
    await verb("stop", "mail")
    await judged.agreed("warn", ("health.was-stopped-by", "mail"))
    (problem,) = (await judged.by_api())["problems"]
    assert problem["text"] == f"mail was stopped by {problem['values']['by']}"
    await verb("start", "mail")
    await judged.agreed("ok")
    await verb("stop", "router")
    await judged.agreed("bad", ("health.no-router-answers", ""), ("health.was-stopped-by", "router"))
    await verb("start", "router")
    await judged.agreed("ok")


async def test_a_daemon_that_ended_well_and_one_of_many_that_failed(judged: Judged) -> None:
    port = free_ports(1)
    added = ADDED.format(python=sys.executable, daemon=DAEMON.format(port=port), port=port)
    file = judged.demo.folder / "cluster.toml"
    file.write_text(file.read_text() + added)
    await judged.demo.verb("reload")
    failed = ("health.has-failed-name-why", "broken.1")
    await judged.agreed("warn", failed)
    await judged.demo.hit("web.1", signal.SIGTERM)
    await judged.agreed("warn", failed, ("health.has-ended-and-stays-down", "web.1"))
    assert "web.1 has ended (exit code 0)" in (await judged.by_api())["sentence"]
    await judged.demo.verb("start", "web")
    await judged.demo.verb("stop", "broken")
    await judged.agreed("warn", ("health.was-stopped-by", "broken.1"))
    await judged.demo.verb("scale", "broken=0")
    await judged.agreed("ok")
    await judged.demo.verb("scale", "mail=0")
    await judged.agreed("ok")


async def test_what_is_done_to_the_tables_by_hand(judged: Judged) -> None:
    verb = judged.demo.verb
    await verb("register", "mail.2", "none")
    await judged.agreed("warn", ("health.runs-but-is-not-ready-why", "mail.2"))
    assert "it is registered at no router" in (await judged.by_api())["sentence"]
    await verb("restart", "mail.2")
    await judged.agreed("ok")
    token = str(
        next(
            slot["token"]
            for router in (await judged.demo.json("routes"))["routers"][:1]
            for group in router["groups"]
            for slot in group["slots"]
            if slot["name"] == "mail.1"
        )
    )
    done = await verb("register", "mail.2", token, "--router", "router.1")
    assert done.code == 0, done.err
    await judged.agreed("warn", ("health.the-entry-of-points", "mail.2"))


async def test_an_election_that_never_ends_is_bad_and_so_is_a_silent_launcher(judged: Judged) -> None:
    lease = judged.demo.folder / ".luabus/lease.db"
    while not lease.is_dir():  # a director may make it anew in between
        lease.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            lease.mkdir()
    await judged.demo.hit("director.1")
    await judged.demo.hit("director.2")

    async def masterless() -> bool:
        return ("health.group-has-no-master", "director") in _essence(await judged.by_api())[1] and (
            "health.group-has-no-master", "director",
        ) in _essence((await judged.by_command_line())[1])[1]  # fmt: skip

    await until_true(masterless, 40.0)
    assert ((await judged.by_command_line())[1]["level"], (await judged.by_api())["level"]) == ("bad", "bad")
    await judged.demo.verb("down")
    done = await judged.demo.verb("status", "--json")
    health = json.loads(done.out)["health"]
    assert (done.code, _essence(health)) == (
        3, ("bad", {("health.the-launcher-does-not-answer", "launcher")}),
    )  # fmt: skip
