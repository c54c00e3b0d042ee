from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dashboard.api.verbs import log_lines
from dashboard.http.tokens import Role
from luabus.errors import Refused
from tests.dashboard.cluster import ScriptedCluster, process
from tests.dashboard.conftest import Dash, Make
from tests.support.waiting import until

WHO = {"by": "admin by bearer (dashboard)", "from": "127.0.0.1"}
WAITS = WHO | {"wait": True}


async def test_register_reaches_the_routers_and_says_how_to_undo(dash: Dash) -> None:
    answer = await dash.post("/api/v1/register", {"service_id": "mail.2", "token": 0})
    assert await answer.json() == {
        "done": "mail.2 is vacant: done at every router",
        "service_id": "2.2",
        "results": {"router.1": "done", "router.2": "done"},
        "undo": {"router": "*", "service_id": "2.2", "token": "own", "is_master": False},
    }
    assert dash.cluster.done == [("register", "2.2", 0, False, "*")]


async def test_after_a_change_everything_shows_it_and_it_can_be_taken_back_each_time(dash: Dash) -> None:
    for turn in range(3):
        for token, back in ((0, "own"), ("own", 0)):
            answer = await dash.post("/api/v1/register", {"service_id": "mail.2", "token": token})
            assert (await answer.json())["undo"]["token"] == back, turn
            tables = (await dash.json("/api/v1/routes"))["routers"]
            tokens = {
                slot["token"] for t in tables for slot in t["groups"][1]["slots"] if slot["name"] == "mail.2"
            }
            assert tokens == ({0} if token == 0 else {12})
            assert (await dash.json("/api/v1/status"))["groups"][1]["vacant"] == (token == 0)


async def test_the_undo_is_of_the_tables_at_the_change_and_not_of_those_known_before(dash: Dash) -> None:
    """Somebody else has vacated the slot since the last look."""
    await dash.look()
    await dash.cluster.register("2.2", 0, False, "*")
    answer = await dash.post("/api/v1/register", {"service_id": "mail.2", "token": "own"})
    assert (await answer.json())["undo"]["token"] == 0


async def test_a_change_is_written_down_with_who_and_from_where(dash: Dash) -> None:
    """In the launcher's log, where the command line's changes are too; the journal has it from there."""
    await dash.post("/api/v1/register", {"service_id": "2.2", "token": None, "router": "router.1"})
    await dash.post("/api/v1/promote", {"service_id": "1.2"})
    await dash.post("/api/v1/close", {"router": "router.1", "token": 11})
    assert [(e["name"], e["text"], e["by"], e["from"]) for e in dash.cluster.events] == [
        ("mail.2", "remove mail.2 at router.1", WHO["by"], "127.0.0.1"),
        ("director.2", "promote director.2 to master, epoch 4", WHO["by"], "127.0.0.1"),
        ("mail.1", "close the connection of mail.1 at router.1", WHO["by"], "127.0.0.1"),
    ]
    await dash.look()
    assert [(e.kind, e.text, e.by, e.origin, e.source) for e in dash.context.journal.find()] == [
        (kind, told["text"], WHO["by"], "127.0.0.1", "launcher")
        for kind, told in zip(("register", "promote", "close"), dash.cluster.events, strict=True)
    ]


async def test_without_a_launcher_the_journal_alone_has_it(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(launcher=False))
    await dash.post("/api/v1/register", {"service_id": "2.2", "token": None, "router": "router.1"})
    (event,) = dash.context.journal.find()
    assert (event.kind, event.subject, event.text, event.by, event.origin) == (
        "register", "mail.2", "remove mail.2 at router.1", "admin by bearer", "127.0.0.1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "done"),
    [
        ("promote", {"service_id": "director.2"}, ("promote", "1.2")),
        ("close", {"router": "router.2", "token": 12}, ("close", "router.2", 12)),
        ("kill", {"name": "mail.1"}, ("kill", "mail.1", "SIGKILL", WHO)),
        ("kill", {"name": "mail", "signal": "SIGTERM"}, ("kill", "mail", "SIGTERM", WHO)),
        ("start", {"name": "mail.1"}, ("start", "mail.1", WAITS)),
        ("stop", {"name": "mail"}, ("stop", "mail", WAITS)),
        ("restart", {"name": "mail"}, ("restart", "mail", WAITS)),
        ("scale", {"service": "mail", "instances": 4}, ("scale", "mail", 4, WAITS)),
    ],
)
async def test_each_verb_reaches_the_cluster(dash: Dash, path: str, body: Any, done: tuple[Any, ...]) -> None:
    preview = await dash.post(f"/api/v1/{path}?preview=true", body)
    assert (await preview.json())["title"].endswith("?")
    assert dash.cluster.done == []
    answer = await dash.post(f"/api/v1/{path}", body)
    assert answer.status == 200, await answer.text()
    assert dash.cluster.done == [done]


@pytest.mark.parametrize(
    ("path", "body", "hint"),
    [
        ("register", {"service_id": "mial.2", "token": 0}, "did you mean 'mail.2'"),
        ("register", {"service_id": "2.9", "token": 0}, "service id '2.9'"),
        ("register", {"service_id": "2.2", "token": 0, "router": "router.3"}, "did you mean 'router.2'"),
        ("promote", {"service_id": "directr.1"}, "did you mean 'director.1'"),
        ("kill", {"name": "gateway"}, "there is no process or service 'gateway'"),
        ("stop", {"name": "mail.7"}, "did you mean 'mail."),
        ("scale", {"service": "mal", "instances": 1}, "did you mean 'mail'"),
        ("close", {"router": "router.1", "token": 999}, "connection at router.1 with token '999'"),
        ("close", {"router": "router.x", "token": 1}, "did you mean 'router."),
    ],
)  # fmt: skip
async def test_unknown_names_are_404_with_a_hint_in_the_preview_too(
    dash: Dash, path: str, body: Any, hint: str
) -> None:
    for query in ("", "?preview=true"):
        answer = await dash.post(f"/api/v1/{path}{query}", body)
        assert answer.status == 404
        assert hint in (await answer.json())["detail"]
    assert dash.cluster.done == []


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("kill", {"name": "mail.1", "signal": "SIGFOO"}, 422, "signal: there is no signal 'SIGFOO'; usual are SIGTERM"),
        ("scale", {"service": "dashboard", "instances": 2}, 409, "dashboard is not scaled: only services are"),
        ("scale", {"service": "router", "instances": 2}, 409, "router is not scaled: only services are"),
        ("promote", {"service_id": "mail.1"}, 409, "group mail elects no master"),
        ("promote", {"service_id": "router.1"}, 409, "router.1 is a router"),
        ("register", {"service_id": "router.1", "token": 0}, 409, "router.1 is a router"),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_refused_in_the_preview_too(
    dash: Dash, path: str, body: Any, status: int, said: str
) -> None:
    dash.cluster.processes.append(process("dashboard", None))
    await dash.look()
    answer = await dash.post(f"/api/v1/{path}?preview=true", body)
    assert (answer.status, (await answer.json())["detail"][: len(said)]) == (status, said)
    if path != "promote" or body["service_id"] == "router.1":
        answer = await dash.post(f"/api/v1/{path}", body)
        assert (answer.status, (await answer.json())["detail"][: len(said)]) == (status, said)
    assert dash.cluster.done == []


async def test_an_unknown_token_is_refused_in_the_preview_in_the_routers_words(dash: Dash) -> None:
    answer = await dash.post("/api/v1/register?preview=true", {"service_id": "mail.2", "token": 999})
    assert answer.status == 409
    assert (await answer.json())["detail"].startswith("no router has a connection with token 999")


async def test_a_router_that_does_not_answer_is_named_in_preview_answer_and_log(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(up={"router.1": False, "router.2": True}))
    preview = await dash.post("/api/v1/register?preview=true", {"service_id": "mail.1", "token": 0})
    assert any(one.startswith("router.1 does not answer") for one in (await preview.json())["sentences"])
    answer = await (await dash.post("/api/v1/register", {"service_id": "mail.1", "token": 0})).json()
    assert answer["done"] == "mail.1 is vacant: done at router.2; router.1 did not answer"
    assert answer["results"] == {"router.1": "not connected", "router.2": "done"}
    assert dash.cluster.events[-1]["text"] == "vacate mail.1 at router.1 (not connected), router.2"


async def test_removing_what_is_gone_is_no_error(dash: Dash) -> None:
    first = await dash.post("/api/v1/register", {"service_id": "mail.2", "token": None})
    assert (await first.json())["undo"]["token"] == "own"
    second = await dash.post("/api/v1/register", {"service_id": "mail.2", "token": None})
    assert second.status == 200
    told = await second.json()
    assert (told["done"], told["undo"]) == ("mail.2 has no entry: nothing to remove", None)
    assert set(told["results"].values()) == {"nothing to remove"}


async def test_a_token_is_written_down_with_whose_connection_it_is(dash: Dash) -> None:
    answer = await dash.post("/api/v1/register", {"service_id": "mail.2", "token": 13})
    assert (await answer.json())["undo"]["token"] == "own"
    text = "register mail.2 with token 13, the connection of mail.3, at every router"
    assert dash.cluster.events[-1]["text"] == text


async def test_a_promotion_is_undone_by_promoting_back(dash: Dash) -> None:
    answer = await dash.post("/api/v1/promote", {"service_id": "director.2"})
    assert (await answer.json())["undo"] == {"service_id": "1.1"}
    answer = await dash.post("/api/v1/promote", {"service_id": "director.1"})
    assert (await answer.json())["undo"] is None


async def test_a_client_that_goes_away_leaves_no_change_half_done(dash: Dash) -> None:
    dash.cluster.hold = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await dash.post("/api/v1/register", {"service_id": "mail.2", "token": 0})
    assert dash.cluster.done == []
    dash.cluster.hold.set()
    await until(lambda: dash.cluster.events)
    assert dash.cluster.done == [("register", "2.2", 0, False, "*")]


async def test_what_a_router_refuses_is_409_in_its_words_and_written_down(make_dash: Make) -> None:
    dash = await make_dash()
    dash.cluster.fails = Refused("no connection at router.1 has joined as mail.2")
    answer = await dash.post("/api/v1/register", {"service_id": "2.2", "token": "own"})
    assert answer.status == 409
    assert await answer.json() == {
        "title": "Conflict",
        "status": 409,
        "detail": "no connection at router.1 has joined as mail.2",
        "instance": "/api/v1/register",
        "error": "Refused",
    }
    assert "refused" in dash.context.journal.find(kind="register")[-1].text


async def test_without_routers_or_launcher_verbs_are_503(make_dash: Make) -> None:
    dash = await make_dash(ScriptedCluster(up={"router.1": False}, launcher=False))
    assert (await dash.post("/api/v1/register", {"service_id": "2.2", "token": 0})).status == 503
    assert (await dash.post("/api/v1/kill", {"name": "mail.1"})).status == 503


async def test_the_log_is_that_of_one_process(dash: Dash) -> None:
    answer = await dash.get("/api/v1/processes/mail/logs")
    assert (answer.status, (await answer.json())["detail"]) == (
        404, "mail is a service; name one of its processes: mail.1, mail.2, mail.3",
    )  # fmt: skip
    assert (await dash.get("/api/v1/processes/mail.1/logs")).status == 200


async def test_operators_steer_processes_but_not_the_tables(dash: Dash) -> None:
    assert (await dash.post("/api/v1/kill", {"name": "mail.1"}, Role.operator)).status == 200
    assert (
        await dash.post("/api/v1/register", {"service_id": "2.2", "token": 0}, Role.operator)
    ).status == 403


def test_log_lines_are_told_whole_or_bare() -> None:
    told = {"time": "t", "name": "mail.1", "stream": "err", "level": "INFO", "line": "of the launcher"}
    assert [line.model_dump() for line in log_lines([told])] == [told]
    assert [(line.stream, line.level, line.line) for line in log_lines(["plain"])] == [("out", None, "plain")]
    assert list(log_lines(None)) == []


async def test_what_has_only_begun_is_accepted_and_its_job_can_be_asked_for(
    dash: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()
    tell = dash.cluster.tell

    async def slowly(method: str, *args: Any, timeout: float = 30.0) -> Any:
        if method == "restart":
            await over.wait()
        return await tell(method, *args, timeout=timeout)

    monkeypatch.setattr(dash.cluster, "tell", slowly)
    answer = await dash.post("/api/v1/restart", {"name": "mail"})
    number = (await answer.json())["job"]
    assert (answer.status, answer.headers["Location"]) == (202, f"/api/v1/jobs/{number}")
    assert (await dash.json(answer.headers["Location"]))["state"] == "running"
    over.set()
    await until(lambda: dash.context.jobs.kept(dash.context.poller.snapshot)[0].state == "done")
    assert (await dash.json(f"/api/v1/jobs/{number}"))["state"] == "done"
    gone = await dash.get("/api/v1/jobs/999")
    assert (gone.status, "there is no job '999'" in (await gone.json())["detail"]) == (404, True)
    assert (await dash.post("/api/v1/stop", {"name": "mail"})).status == 200
