from __future__ import annotations

from typing import Any

import pytest

from dashboard.auth import Role
from dashboard.source import Answer
from luabus.errors import LuabusError, NoRoute, Refused, RemoteError, UnknownMethod
from tests.dashboard.conftest import Dash


async def test_what_a_group_declares(dash: Dash) -> None:
    told = await dash.json("/api/v1/methods?group=mail", Role.viewer)
    assert (told["group"], told["instances"]) == (2, ["mail.1", "mail.2", "mail.3"])
    (stats,) = told["methods"]
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
    asked = {"route": "hash:mail:alice", "method": "echo", "args": ["<b>", 1]}
    answer = await dash.post("/api/v1/call", asked, Role.operator)
    assert answer.status == 200, await answer.text()
    told = await answer.json()
    assert told["answers"] == [{"service_id": "2.2", "name": "mail.2", "value": ["<b>", 1], "error": None}]
    assert told["elapsed_ms"] >= 0
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
    told = await (await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})).json()
    assert told["answers"][0]["error"] == {"type": "KeyError", "text": "'x'", "traceback": "Traceback ..."}
    assert (told["answers"][0]["service_id"], told["answers"][0]["name"]) == (None, "")
    raised.answered_by = 0x0002_0003
    told = await (await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})).json()
    assert (told["answers"][0]["service_id"], told["answers"][0]["name"]) == ("2.3", "mail.3")
    dash.cluster.fails = NoRoute("nobody")
    monkeypatch.undo()
    answer = await dash.post("/api/v1/call", {"route": "random:mail", "method": "echo"})
    assert (answer.status, (await answer.json())["error"]) == (404, "NoRoute")
    assert dash.context.journal.find(kind="call")[-1].text.endswith("refused: nobody")


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("target:mail.2", "mail.2 gets it."),
        ("hash:mail:alice", "mail.3 gets it."),
        ("hash:mail:3", "mail.1 gets it."),
        ('hash:mail:"3"', "mail.2 gets it."),
        ("hash:mail:--5", "mail.2 gets it."),
        ("random:mail", "One of the 3 live instances of mail gets it."),
        ("broadcast:director", "Every live instance of director gets it: 2."),
        ("master:director", "The master gets it: director.1."),
        ("random:nobody", "Nobody is there: it is answered NoRoute."),
    ],
)
async def test_a_preview_tells_who_would_get_it(dash: Dash, route: str, said: str) -> None:
    answer = await dash.post("/api/v1/call?preview=true", {"route": route, "method": "echo"})
    assert (await answer.json())["sentences"] == [said]
    assert dash.cluster.done == []


@pytest.mark.parametrize(
    ("body", "said"),
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
async def test_what_is_no_request_is_refused_in_words(dash: Dash, body: Any, said: str) -> None:
    for preview in ("", "?preview=true"):
        answer = await dash.post(f"/api/v1/call{preview}", body)
        assert answer.status == 422
        assert (await answer.json())["detail"].startswith(said)


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
