from __future__ import annotations

from typing import Any

import pytest

from dashboard.collector.cluster_source import Answer
from dashboard.http.tokens import Role
from luabus.errors import LuabusError, NoRoute, Refused, RemoteError, RequestTimeout, UnknownMethod
from tests.dashboard.cluster import method
from tests.dashboard.conftest import Dash


async def test_what_a_group_declares(dash: Dash) -> None:
    result = await dash.json("/api/v1/methods?group=mail", Role.viewer)
    assert (result["group"], result["instances"]) == (2, ["mail.1", "mail.2", "mail.3"])
    (stats,) = result["methods"]
    assert (stats["name"], stats["parameters"], stats["doc"], stats["calls"]) == (
        "stats",
        ["box"],
        "Counts.",
        9,
    )
    answer = await dash.get("/api/v1/methods?group=mial")
    assert (answer.status, (await answer.json())["detail"]) == (
        404,
        "there is no group 'mial'; did you mean 'mail'?",
    )


async def test_a_request_tells_who_answered_in_what_time_and_is_written_down(dash: Dash) -> None:
    request = {"route": "hash:mail:alice", "method": "echo", "args": ["<b>", 1]}
    answer = await dash.post("/api/v1/call", request, Role.operator)
    assert answer.status == 200, await answer.text()
    result = await answer.json()
    assert result["answers"] == [{"service_id": "2.2", "name": "mail.2", "value": ["<b>", 1], "error": None}]
    assert result["elapsed_ms"] >= 0
    assert dash.cluster.done == [("call", "hash:mail:alice", "echo", "<b>", 1)]
    (event,) = dash.context.journal.find(kind="call")
    assert (event.subject, event.text) == ("mail:alice", 'request echo("<b>", 1) to hash:mail:alice')
    assert (event.by, event.origin) == ("operator by bearer", "127.0.0.1")


async def test_a_viewer_may_not_send(dash: Dash) -> None:
    assert (
        await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"}, Role.viewer)
    ).status == 403


async def test_what_a_handler_raises_is_an_answer_and_an_undeliverable_request_an_error(
    dash: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = RemoteError("KeyError: 'x'", type="KeyError", text="'x'", traceback="Traceback ...")

    async def call(*args: Any) -> list[Answer]:
        raise raised

    monkeypatch.setattr(dash.cluster, "call", call)
    result = await (await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})).json()
    assert result["answers"][0]["error"] == {"type": "KeyError", "text": "'x'", "traceback": "Traceback ..."}
    assert (result["answers"][0]["service_id"], result["answers"][0]["name"]) == (None, "")
    raised.answered_by = 0x0002_0003
    result = await (await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})).json()
    assert (result["answers"][0]["service_id"], result["answers"][0]["name"]) == ("2.3", "mail.3")
    dash.cluster.fails = NoRoute("nobody")
    monkeypatch.undo()
    answer = await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})
    assert (answer.status, (await answer.json())["error"]) == (404, "NoRoute")
    assert dash.context.journal.find(kind="call")[-1].text.endswith("refused: nobody")


@pytest.mark.parametrize(
    ("route", "text"),
    [
        ("target:mail.2", "mail.2 gets it."),
        ("hash:mail:alice", "mail.3 gets it."),
        ("hash:mail:3", "mail.2 gets it."),
        ('hash:mail:"3"', "mail.1 gets it."),
        ("hash:mail:--5", "mail.2 gets it."),
        ("random:mail", "One of the 3 live instances of mail gets it."),
        ("broadcast:director", "Every live instance of director gets it: 2."),
        ("master:director", "The master gets it: director.1."),
        ("random:nobody", "Nobody is there: it is answered NoRoute."),
        ("target:mail.9", "Nobody is there: it is answered NoRoute."),
        ("target:router.1", "router.1 gets it."),
        ("master:mail", "mail has no master now: it is answered NoMaster."),
    ],
)
async def test_a_preview_tells_who_would_get_it(dash: Dash, route: str, text: str) -> None:
    answer = await dash.post("/api/v1/call?preview=true", {"route": route, "method": "echo"})
    assert (await answer.json())["sentences"] == [text]
    assert dash.cluster.done == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"route": "mail", "method": "x"},
            "route: found 'mail'; allowed: target:mail.2, hash:mail:alice, random:mail",
        ),
        (
            {"route": "hash:mail", "method": "x"},
            "route: found 'hash:mail'; allowed: target:mail.2, hash:mail:alice",
        ),
        ({"route": "hash:mail:", "method": "x"}, "route: found 'hash:mail:'; allowed: "),
        ({"route": 5, "method": "x"}, "route: found 5; allowed: "),
        ({"route": "random:mail", "method": "luabus.hand_over"}, "method: 'luabus.hand_over' is luabus' own"),
    ],
)
async def test_what_is_no_request_is_refused_in_words(dash: Dash, body: Any, text: str) -> None:
    for preview in ("", "?preview=true"):
        answer = await dash.post(f"/api/v1/call{preview}", body)
        assert answer.status == 422
        assert (await answer.json())["detail"].startswith(text)


async def test_what_a_handler_raises_of_luabus_own_kind_is_an_answer_too(
    dash: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: LuabusError = Refused("not today")
    raised.answered_by = 0x0002_0001

    async def call(*args: Any) -> list[Answer]:
        raise raised

    monkeypatch.setattr(dash.cluster, "call", call)
    answer = await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})
    assert (answer.status, (await answer.json())["answers"][0]["error"]["type"]) == (200, "Refused")
    raised = UnknownMethod("mail.1 has no method 'echo'")
    raised.answered_by = 0x0002_0001
    answer = await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})
    assert (answer.status, (await answer.json())["error"]) == (404, "UnknownMethod")


@pytest.mark.parametrize(
    ("route", "text"),
    [
        ("master:mail", "mail has no master now: nobody gets it."),
        ("target:mail.9", "Nobody is there now: nobody gets it."),
        ("target:mail.2", "Nobody is there now: nobody gets it."),
        ("random:nobody", "Nobody is there now: nobody gets it."),
        ("hash:mail:alice", ""),
        ("broadcast:mail", ""),
        ("target:director.1", ""),
    ],
)
async def test_a_message_that_reaches_nobody_is_told_where_the_tables_can_tell(
    dash: Dash, route: str, text: str
) -> None:
    await dash.cluster.register("2.2", 0, False, "*")
    await dash.look()
    request = {"route": route, "method": "echo", "one_way": True}
    assert (await (await dash.post("/api/v1/call", request)).json())["warning"] == text
    assert dash.cluster.done[-1][0] == "call"  # it was sent all the same: a table may just change


@pytest.mark.parametrize(
    ("route", "who"),
    [
        ("target:mail.2", "mail.2"),
        ("hash:mail:alice", "mail.3"),
        ("master:director", "director.1"),
        ("random:mail", "an instance of mail (mail.1, mail.2, mail.3)"),
        ("target:router.1", "router.1"),
    ],
)
async def test_a_timeout_names_the_seconds_and_who_was_asked(dash: Dash, route: str, who: str) -> None:
    dash.cluster.fails = RequestTimeout("no answer in time")
    answer = await dash.post("/api/v1/call", {"route": route, "method": "slow", "timeout_s": 0.5})
    result = await answer.json()
    assert (answer.status, result["error"]) == (504, "RequestTimeout")
    assert result["detail"] == f"no answer within 0.5 s from {who}: slow was sent to {route}"
    (event,) = dash.context.journal.find(kind="call")
    assert "not known whether it was carried out" in event.text


async def test_the_silent_of_a_broadcast_are_told_with_the_seconds(
    dash: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call(*args: Any) -> list[Answer]:
        return [Answer("2.1", None, RequestTimeout("in time"))]

    monkeypatch.setattr(dash.cluster, "call", call)
    request = {"route": "broadcast:mail", "method": "echo", "timeout_s": 2}
    (one,) = (await (await dash.post("/api/v1/call", request)).json())["answers"]
    assert (one["name"], one["error"]["text"]) == ("mail.1", "no answer within 2 s")


async def test_the_figures_are_asked_again_after_a_call(dash: Dash) -> None:
    async def calls() -> int:
        return int((await dash.json("/api/v1/methods?group=mail"))["methods"][0]["calls"])

    assert await calls() == 9
    dash.cluster.declared = [method("stats", calls=4)]
    assert await calls() == 9
    await dash.post("/api/v1/call", {"route": "random:mail", "method": "stats"})
    assert await calls() == 12
