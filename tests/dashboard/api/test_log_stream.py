from __future__ import annotations

import json

import pytest

from dashboard.http.tokens import Role
from tests.dashboard.api.test_event_stream import next_event
from tests.dashboard.conftest import Dash
from tests.support.waiting import until


async def test_the_lines_of_before_then_each_as_it_is_written(dash: Dash) -> None:
    dash.cluster.logs = [{"line": "one"}, {"line": "two"}]
    answer = await dash.get("/api/v1/processes/mail.1/follow?lines=1", Role.viewer)
    assert answer.status == 200
    assert answer.content_type == "text/event-stream"

    async def lines() -> list[str]:
        assert await answer.content.readline() == b"event: lines\n"
        data = (await answer.content.readline()).removeprefix(b"data: ")
        await answer.content.readline()
        return [line["line"] for line in json.loads(data)]

    assert await lines() == ["two"]
    dash.cluster.written.put_nowait({"line": "<b>three"})
    assert await lines() == ["<b>three"]
    dash.context.poller.finish()
    assert await answer.content.read() == b""


async def test_unknown_names_and_a_launcher_that_is_away_are_said(dash: Dash) -> None:
    assert (await dash.get("/api/v1/processes/mial.1/follow")).status == 404
    dash.cluster.launcher = False
    assert (await dash.get("/api/v1/processes/mail.1/follow")).status == 503


async def test_the_number_of_readers_is_limited(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.api.log_stream.MOST_TAILS", 0)
    answer = await dash.get("/api/v1/processes/mail.1/follow")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")


async def test_several_logs_over_one_connection_each_line_with_its_name(dash: Dash) -> None:
    dash.cluster.logs = [{"line": "one"}]
    answer = await dash.get("/api/v1/follow?names=mail.1,gone.1,mail.2&lines=1", Role.viewer)
    assert answer.content_type == "text/event-stream"
    assert dash.context.tails.count == 2
    told = [await next_event(answer) for _ in range(2)]
    assert {event for event, _ in told} == {"lines"}
    assert sorted(data["name"] for _, data in told) == ["mail.1", "mail.2"]
    assert [[line["line"] for line in data["lines"]] for _, data in told] == [["one"], ["one"]]
    dash.context.poller.finish()
    assert (await answer.content.read()).strip() == b""
    await until(lambda: not dash.context.tails.count)


async def test_of_several_at_least_one_must_be_known(dash: Dash) -> None:
    answer = await dash.get("/api/v1/follow?names=mial.1")
    assert (answer.status, "did you mean 'mail.1'?" in (await answer.json())["detail"]) == (404, True)
    dash.cluster.launcher = False
    assert (await dash.get("/api/v1/follow?names=mail.1,mail.2")).status == 503


async def test_several_logs_count_one_by_one(dash: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.api.log_stream.MOST_TAILS", 1)
    assert (await dash.get("/api/v1/follow?names=mail.1,mail.2")).status == 503
    assert dash.context.tails.count == 0
