from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import ClientResponse

from dashboard.api.event_stream import difference, message
from tests.dashboard.cluster import process
from tests.dashboard.conftest import Dash
from tests.support.waiting import until


async def next_event(answer: ClientResponse) -> tuple[str, Any]:
    """The next event and its data; what is no event is passed over."""
    event = ""
    async with asyncio.timeout(5):
        while True:
            line = (await answer.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return event, json.loads(line.removeprefix("data: "))


def test_difference_names_what_is_new_changed_and_gone() -> None:
    assert difference({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5, "d": 4}) == {
        "changed": {"b": 5, "d": 4},
        "removed": ["c"],
    }


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    assert message("e", {"a": "x\ny\r"}) == b'event: e\ndata: {"a":"x\\ny\\r"}\n\n'


async def test_a_snapshot_then_the_changes(dash: Dash) -> None:
    answer = await dash.get("/api/v1/events?topics=processes,status")
    assert answer.content_type == "text/event-stream"
    first, rows = await next_event(answer)
    assert (first, len(rows)) == ("processes", 7)
    assert (await next_event(answer))[0] == "status"
    dash.cluster.processes = [
        *dash.cluster.processes[:4],
        process("mail.1", "2.1", state="backoff", restarts=1),
    ]
    await dash.look()
    event, change = await next_event(answer)
    assert event == "processes.changed"
    assert list(change["changed"]) == ["mail.1"]
    assert change["removed"] == ["mail.2", "mail.3"]
    event, status = await next_event(answer)
    assert (event, status["level"]) == ("status", "warn")
    answer.close()


async def test_connections_by_router_and_token(dash: Dash) -> None:
    answer = await dash.get("/api/v1/events?topics=connections")
    await next_event(answer)
    dash.cluster.rows[0]["pending_bytes"] = 7
    await dash.look()
    event, change = await next_event(answer)
    assert event == "connections.changed"
    assert change["changed"]["router.1/11"]["pending_bytes"] == 7
    answer.close()


async def test_notices_say_only_that_something_changed(dash: Dash) -> None:
    answer = await dash.get("/api/v1/events?topics=routes&notices=true")
    assert (await next_event(answer))[0] == "changed"
    dash.cluster.up["router.2"] = False
    await dash.look()
    assert await next_event(answer) == (
        "changed",
        {"routes": dash.context.poller.snapshot.versions["routes"]},
    )
    answer.close()


async def test_notices_say_that_the_dashboard_is_there_while_nothing_changes(dash: Dash) -> None:
    """A page takes a silence of 3.5 s for a dashboard that is away."""
    answer = await dash.get("/api/v1/events?topics=routes&notices=true")
    assert (await next_event(answer))[0] == "changed"
    begun = asyncio.get_running_loop().time()
    assert await next_event(answer) == ("alive", {})
    assert asyncio.get_running_loop().time() - begun < 3
    answer.close()


async def test_what_happens_is_an_event_too(dash: Dash) -> None:
    dash.context.journal.add("state", "mail.1", "before")
    answer = await dash.get("/api/v1/events?topics=events")
    assert [e["text"] for e in (await next_event(answer))[1]] == ["before"]
    await dash.post("/api/v1/close", {"router": "router.1", "token": 11})
    event, news = await next_event(answer)
    assert (event, [e["kind"] for e in news]) == ("events", ["close"])
    answer.close()


async def test_a_slow_reader_gets_the_difference_and_not_every_step(dash: Dash) -> None:
    answer = await dash.get("/api/v1/events?topics=processes")
    await next_event(answer)
    for number in range(20):
        dash.cluster.processes[4] = process("mail.1", "2.1", restarts=number)
        await dash.context.poller._look()
    seen = []
    while not seen or seen[-1] != 19:
        seen.append((await next_event(answer))[1]["changed"]["mail.1"]["restarts"])
    assert len(seen) < 20
    answer.close()


async def test_while_somebody_reads_the_poller_knows(dash: Dash) -> None:
    poller = dash.context.poller
    assert poller.watchers == 0
    answer = await dash.get("/api/v1/events")
    await next_event(answer)
    assert poller.watchers == 1
    # Nothing changes meanwhile: that it is gone is not found out by writing to it.
    answer.close()
    await until(lambda: not poller.watchers, timeout_s=2)


async def test_an_unknown_topic_is_422(dash: Dash) -> None:
    answer = await dash.get("/api/v1/events?topics=routes,nonsense")
    assert answer.status == 422
    assert "status, routes, connections" in (await answer.json())["detail"]


async def test_stopping_ends_the_streams(dash: Dash) -> None:
    answer = await dash.get("/api/v1/events?topics=status")
    await next_event(answer)
    dash.context.poller.finish()
    async with asyncio.timeout(5):
        assert (await answer.content.read()).strip() == b""
