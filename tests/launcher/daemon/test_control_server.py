"""The control channel, as a client of it sees it."""

from __future__ import annotations

import json
import stat

import pytest

import luabus
from luabus.cluster.control_client import ask
from luabus.errors import BadArguments, Forbidden, Refused, UnknownMethod
from luabus.messages import Message
from tests.launcher.harness import ClusterRun


def test_where_it_listens_is_written_for_the_owner_only(steady: ClusterRun) -> None:
    file = steady.run_dir.control_file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"pid", "started", "folder", "guard", "host", "port"}
    assert json.loads(file.read_text())["host"] == "127.0.0.1"


def test_one_process_and_all(steady: ClusterRun) -> None:
    rows = steady.request("processes")
    assert [row["name"] for row in rows] == ["router.1", "router.2", "web.1", "web.2", "greeter.1"]
    one = steady.request("process", "greeter.1")
    assert (one["service_id"], one["kind"], one["state"], one["ready"]) == ("7.1", "service", "running", True)
    assert one["rss_bytes"] > 1e6
    assert one["open_files"] > 0
    with pytest.raises(Refused, match=r'"web" is a service; its processes: web\.1, web\.2'):
        steady.request("process", "web")


def test_no_listing_shows_a_variable(steady: ClusterRun) -> None:
    shown = json.dumps([steady.request("status"), steady.request("processes"), steady.request("events")])
    assert "hunter2" not in shown
    assert "hunter2" not in steady.run_dir.events_file.read_text()
    assert steady.run_dir.secret_file.read_text() not in shown


def test_logs_of_some_and_of_all(steady: ClusterRun) -> None:
    lines = {(line["name"], line["stream"], line["line"]) for line in steady.request("logs", ["web.1"], 10)}
    assert lines == {("web.1", "out", "hello"), ("web.1", "err", "careful"), ("web.1", "out", "ready")}
    assert {line["name"] for line in steady.request("logs", "web", 100)} == {"web.1", "web.2"}
    assert len(steady.request("logs", None, 3)) == 3
    assert steady.request("logs", None, -5) == []


def test_notes_are_bounded_and_say_who(steady: ClusterRun) -> None:
    asked_by = {"by": "ann (dashboard)", "from": "127.0.0.1"}
    message = Message("audit.close-the-connection", name="greeter.1", router="router.1").as_map()
    steady.request("note", "close", "greeter.1", message, asked_by)
    event = steady.request("events", 0, 1)[0]
    written = {"kind": "close", "name": "greeter.1", "message": message, **asked_by}
    assert event == {**event, **written}
    assert event["text"] == "close the connection of greeter.1 at router.1"
    for unfit in ("a sentence", {"code": "audit.stop"}, Message("audit.stop", name="x" * 10_000).as_map()):
        with pytest.raises(Refused, match="a note has a kind"):
            steady.request("note", "close", "greeter.1", unfit, asked_by)


def test_what_it_does_not_know(steady: ClusterRun) -> None:
    with pytest.raises(UnknownMethod):
        steady.request("explode")
    with pytest.raises(BadArguments):
        steady.request("kill")
    with pytest.raises(Refused, match='there is no process or service "wbe"; did you mean "web"'):
        steady.request("logs", ["wbe"])


def test_begun_or_done(steady: ClusterRun) -> None:
    assert steady.request("start", "web", {"wait": True})["text"] == ""
    assert steady.request("start", "web", {})["text"] == "begun"


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        (luabus.Principal("admin"), True),
        (luabus.Principal("service", "dashboard"), True),
        (luabus.Principal("service", "web"), False),
        (luabus.Principal("client"), False),
        (luabus.Principal("router", "router.1"), False),
    ],
    ids=str,
)
def test_it_takes_orders_from_administrators_and_the_services_that_may_steer(
    steady: ClusterRun, principal: luabus.Principal, may: bool
) -> None:
    address = steady.run_dir.read_control()
    assert address is not None
    security = steady.run_dir.security(principal)
    if may:
        assert ask(address, security, "processes")
        return
    for method, args in (("processes", ()), ("kill", ("web.1",)), ("logs", ()), ("no-such-method", ())):
        with pytest.raises((Forbidden, UnknownMethod)) as caught:
            ask(address, security, method, *args)
        if isinstance(caught.value, Forbidden):
            assert caught.value.caller == str(principal)
            assert caught.value.allowed == ["admin", "dashboard"]
    assert steady.status()["state"] == "healthy"
