from __future__ import annotations

import json

import pytest

from dashboard.auth import Role
from tests.dashboard.conftest import Dash


async def test_the_lines_of_before_then_each_as_it_is_written(dash: Dash) -> None:
    dash.cluster.logs = [{"line": "one"}, {"line": "two"}]
    answer = await dash.get("/api/v1/processes/mail.1/follow?lines=1", Role.viewer)
    assert answer.status == 200
    assert answer.content_type == "text/event-stream"

    async def lines() -> list[str]:
        assert await answer.content.readline() == b"event: lines\n"
        data = (await answer.content.readline()).removeprefix(b"data: ")
        await answer.content.readline()
        found: list[str] = json.loads(data)
        return found

    assert await lines() == ["two"]
    dash.cluster.written.put_nowait({"line": "<b>three"})
    assert await lines() == ["<b>three"]
    dash.context.feed.finish()
    assert await answer.content.read() == b""


async def test_unknown_names_and_a_launcher_that_is_away_are_said(dash: Dash) -> None:
    assert (await dash.get("/api/v1/processes/mial.1/follow")).status == 404
    dash.cluster.launcher = False
    assert (await dash.get("/api/v1/processes/mail.1/follow")).status == 503


async def test_the_number_of_readers_is_limited(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.tail.MOST_TAILS", 0)
    answer = await dash.get("/api/v1/processes/mail.1/follow")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
