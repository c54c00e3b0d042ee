"""pause and resume of a service of a real cluster, from the command line and over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from luabus.cluster.preview_processes import LOST_AFTER_S
from tests.support.demo import Demo
from tests.support.waiting import until

LIVENESS_S = 1.0


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(tmp_path)
    file = tmp_path / "cluster.toml"
    text = file.read_text()
    file.write_text(text.replace("[services.mail]\n", f"[services.mail]\nliveness_timeout = {LIVENESS_S}\n"))
    assert f"liveness_timeout = {LIVENESS_S}" in file.read_text()
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.out + done.err
    try:
        yield demo
    finally:
        await demo.verb("down")
        await until(lambda: not demo.processes(), 10.0, f"the end of {demo.processes()}")


async def row_of(demo: Demo, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = (await demo.json("status"))["processes"]
    return next(row for row in rows if row["name"] == name)


async def until_ready(demo: Demo, name: str, ready: bool) -> dict[str, Any]:
    async with asyncio.timeout(20.0):
        while (row := await row_of(demo, name))["ready"] is not ready:  # noqa: ASYNC110 - another process' state
            await asyncio.sleep(0.1)
    return row


async def over_http(demo: Demo, method: str, path: str, body: Any = None) -> Any:
    token = (demo.folder / ".luabus/dashboard.token").read_text().strip()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.request(method, f"http://127.0.0.1:{demo.http}{path}", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_paused_service_is_left_alone_for_longer_than_its_liveness_timeout(demo: Demo) -> None:
    before = await row_of(demo, "mail.1")
    done = await demo.verb("pause", "mail.1")
    assert (done.code, done.out) == (0, "mail.1 is paused\n")
    await asyncio.sleep(
        LOST_AFTER_S + 3 * LIVENESS_S
    )  # the routers have lost it, and a hung one would be replaced
    paused = await row_of(demo, "mail.1")
    assert (paused["state"], paused["held"], paused["pid"]) == ("running", "paused", before["pid"])
    assert "paused" in (await demo.verb("status")).out
    problems = {problem["code"] for problem in (await demo.json("status"))["health"]["problems"]}
    assert "health.was-paused-by" in problems

    done = await demo.verb("resume", "mail.1")
    assert done.code == 0
    resumed = await until_ready(demo, "mail.1", True)
    assert (resumed["held"], resumed["pid"], resumed["restarts"]) == (None, before["pid"], before["restarts"])


async def test_the_same_act_is_the_same_event_from_command_line_and_api(demo: Demo) -> None:
    effect = await over_http(demo, "POST", "/api/v1/pause?preview=true", {"name": "mail.2"})
    assert effect["title"] == "Pause mail.2?"
    await demo.verb("pause", "mail.1")
    told = await over_http(demo, "POST", "/api/v1/pause", {"name": "mail.2"})
    assert told["done"] == "pause mail.2"
    await demo.verb("resume", "mail.1")
    await over_http(demo, "POST", "/api/v1/resume", {"name": "mail.2"})
    lines = (demo.folder / ".luabus/events.jsonl").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["kind"] in ("pause", "resume")]
    assert [(event["kind"], event["name"], event["message"]) for event in events] == [
        (verb, name, {"code": f"audit.{verb}", "values": {"name": name}})
        for verb in ("pause", "resume")
        for name in ("mail.1", "mail.2")
    ]
    assert len({event["from"] for event in events}) == 2

    await demo.verb("pause", "mail")
    stopped = await demo.verb("stop", "mail")
    assert stopped.code == 0
    ends = [(await row_of(demo, name))["exit"] for name in ("mail.1", "mail.2")]
    assert {ended["code"] for ended in ends} == {0}
