"""routes, call, register and promote, as typed: what they print, what they end with, and that they are written down."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun, until

MAIL = """
import luabus

service = luabus.Service()

@service.rpc
def hello(name):
    return f"hello {name}"

@service.rpc
def add(a, b):
    return a + b

@service.rpc
def fail():
    raise ValueError("no such mail")

@service.rpc
def binary():
    return b"\\xff"

@service.rpc
def numbers():
    return {1: [float("inf"), float("nan"), 1.5], b"\\xff": None}

@service.rpc
async def slow():
    import asyncio
    await asyncio.sleep(60)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("bus") / "cluster")
    run.module("mail", MAIL)
    run.write(
        {
            "mail": {"run": "mail:service", "group": 2, "instances": 2, "route": "hash"},
            "director": {"run": "mail:service", "group": 3, "instances": 2, "route": "master"},
        },
        routers=2,
        extra="[lease]\nttl = 1.0\nrenew = 0.2",
    )
    run.ok("up", "-d")
    until(lambda: run.status()["masters"]["director"], "a master")
    yield run
    run.end()


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (["target:mail.2", "hello", '"bob"'], "hello bob"),
        (["hash:mail:alice", "hello", "no quotes"], "hello no quotes"),
        (["random:mail", "add", "-1", "-2.5"], -3.5),
        (["master:director", "add", "[1]", "[2]"], [1, 2]),
        (["broadcast:mail", "hello", "1"], {"mail.1": "hello 1", "mail.2": "hello 1"}),
        (["random:mail", "binary"], "\\xff"),
        (["random:mail", "hello", "NaN"], "hello NaN"),
        (["random:mail", "numbers"], {"1": ["inf", "nan", 1.5], "\\xff": None}),
    ],
)
def test_a_call_prints_its_reply(cluster: ClusterRun, words: list[str], reply: object) -> None:
    assert json.loads(cluster.ok("call", *words).out) == reply


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["target:mail.1", "helo"], "UnknownMethod: mail.1 has no method 'helo'"),
        (["target:mail.1", "fail"], "RemoteError: "),
        (["target:mail.1", "hello"], "BadArguments: hello(name) got 0 arguments; missing: name"),
        (["target:mail.9", "hello"], "NoRoute: nobody is there for target:mail.9"),
        (["master:mail", "hello"], "NoMaster: "),
        (["-t", "0.1", "target:mail.1", "slow"], "RequestTimeout: "),
    ],
)
def test_an_error_prints_its_type_and_text(cluster: ClusterRun, words: list[str], said: str) -> None:
    done = cluster("call", *words)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert done.err.startswith("luabus-cluster: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("random:mial", "there is no group named 'mial'"),
        ("mail.1", "'mail.1' is not a route. Write target:mail.2"),
        ("target:2.70000", "instance 70000 is out of range"),
        ("hash:mail", "a hash needs a key"),
    ],
)
def test_what_is_no_route_is_bad_usage(cluster: ClusterRun, route: str, said: str) -> None:
    done = cluster("call", route, "hello")
    assert (done.code, done.out, said in done.err) == (2, "", True), done


def test_a_number_beyond_all_is_bad_usage(cluster: ClusterRun) -> None:
    done = cluster("call", "random:mail", "hello", "[1e400]")
    assert (done.code, "found 1e400; allowed: numbers up to 1.7e308" in done.err) == (2, True)


def test_an_error_as_json(cluster: ClusterRun) -> None:
    done = cluster("promote", "direktor.1", "--json")
    text = "there is no group named 'direktor'; did you mean 'director'?"
    assert (done.code, done.json) == (2, {"error": {"type": "UsageError", "message": text}})
    assert done.err == f"luabus-cluster: {text}\n"


def test_without_a_cluster_that_is_said_at_once(tmp_path: Path) -> None:
    run = ClusterRun(tmp_path / "none")
    run.write({}, routers=2)
    run.run_dir.prepare()
    began = time.monotonic()
    for verb in (["routes"], ["call", "random:x", "y"]):
        done = run(*verb)
        assert (done.code, "no router answers" in done.err) == (3, True), done
    assert time.monotonic() - began < 3, "a client's own patience is 5 s"


def test_a_broadcast_tells_whose_reply_is_an_error(cluster: ClusterRun) -> None:
    done = cluster("call", "broadcast:mail", "fail")
    assert done.code == 1
    replies = json.loads(done.out)
    assert set(replies) == {"mail.1", "mail.2"}
    assert replies["mail.1"]["error"] == "RemoteError"
    assert "no such mail" in replies["mail.1"]["message"]


def test_routes_as_text_and_json(cluster: ClusterRun) -> None:
    text = cluster.ok("routes").out
    assert text.startswith("router.1, router.2 agree")
    assert "director (3)" in text
    assert "master (epoch " in text
    assert cluster.ok("routes", "--json").json["consistent"] is True


def test_promote_moves_the_master_and_is_written_down(cluster: ClusterRun) -> None:
    present = cluster.status()["masters"]["director"]
    other = "director.2" if present == "director.1" else "director.1"
    assert cluster.ok("promote", other).out.startswith(f"{other} is now master (epoch ")
    until(lambda: cluster.status()["masters"]["director"] == other, "the status knows")
    assert f"{other} is already master" in cluster.ok("promote", other).out
    again = cluster.ok("promote", present, "--json").json
    assert again["changed"] is True
    event = next(event for event in cluster.request("events", 0, 100) if event["kind"] == "promote")
    assert (event["name"], event["message"]["code"], event["from"]) == (
        other,
        "audit.promoted",
        "command line",
    )
    assert event["by"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("mail.1", 1, "elects no master"),
        ("director.9", 1, "nobody is there"),
        ("nonsense", 2, "is not a service id: write GROUP.INSTANCE"),
        ("direktor.1", 2, "there is no group named 'direktor'; did you mean 'director'?"),
    ],
)
def test_what_cannot_be_promoted(cluster: ClusterRun, name: str, code: int, said: str) -> None:
    done = cluster("promote", name)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err


def test_register_by_hand_and_back(cluster: ClusterRun) -> None:
    assert cluster.ok("register", "mail.2", "0").out == "router.1: done\nrouter.2: done\n"
    assert cluster("call", "target:mail.2", "hello", "1").code == 1
    assert cluster.ok("register", "2.2", "own", "--json").json == {"router.1": "done", "router.2": "done"}
    cluster.ok("call", "target:mail.2", "hello", "1")
    notes = [event["text"] for event in cluster.request("events", 0, 100) if event["kind"] == "register"]
    assert notes == ["vacate mail.2 at every router", "register mail.2 at every router"]


def test_routers_that_disagree_are_an_alarm_in_the_status(cluster: ClusterRun) -> None:
    cluster.ok("register", "mail.1", "none", "--router", "router.2")
    assert cluster("routes").code == 1
    until(lambda: cluster.status()["alarms"], "an alarm")
    status = cluster("status")
    assert status.code == 1
    assert "is degraded" in status.out
    assert "have different tables for group mail" in status.out
    cluster.ok("register", "mail.1", "own", "--router", "router.2")
    until(lambda: cluster.status()["state"] == "healthy", "they agree")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["2.1", "99999"], 1, "no router has a connection with token 99999"),
        (["2.1", "-1"], 2, "found the token '-1'; allowed: a number"),
        (["2.1", "foo"], 2, "found the token 'foo'; allowed: a number"),
        (["0.1", "0"], 1, "is a router; only services are registered"),
        (["300.1", "0"], 2, "group 300 is out of range"),
        (["2.70000", "0"], 2, "instance 70000 is out of range"),
        (["mial.1", "0"], 2, "did you mean 'mail'?"),
        (["2.1", "own", "--router", "router.7"], 2, "there is no router 'router.7'"),
    ],
)
def test_what_cannot_be_registered(cluster: ClusterRun, words: list[str], code: int, said: str) -> None:
    done = cluster("register", *words)
    assert (done.code, said in done.err) == (code, True), done
    assert "Traceback" not in done.err


def test_a_call_as_a_service_has_its_key(cluster: ClusterRun) -> None:
    assert (
        json.loads(cluster.ok("call", "random:mail", "hello", "bob", "--as", "director").out) == "hello bob"
    )
    assert json.loads(cluster.ok("call", "random:mail", "hello", "bob", "--as", "client").out) == "hello bob"
    done = cluster("call", "random:mail", "hello", "bob", "--as", "directer")
    assert done.code == 2
    assert 'there is no service "directer"; did you mean "director"?' in done.err
