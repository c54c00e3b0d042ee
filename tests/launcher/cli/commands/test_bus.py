"""routes, connections, register, promote and close, as typed: what they print, how they end, and that they are written down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.cli.answers import error_answer
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


def test_an_error_as_json(cluster: ClusterRun) -> None:
    done = cluster("promote", "direktor.1", "--json")
    text = "there is no group named 'direktor'; did you mean 'director'?"
    assert (done.code, done.json) == (2, error_answer("UsageError", text))
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
    assert cluster.ok("register", "2.2", "own", "--json").json == {
        "ok": True, "text": "router.1: done; router.2: done", "routers": {"router.1": "done", "router.2": "done"},
    }  # fmt: skip
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


def test_routes_of_one_group(cluster: ClusterRun) -> None:
    found = cluster.ok("routes", "mail", "--json").json
    assert [[group["name"] for group in router["groups"]] for router in found["routers"]] == [["mail"]] * 2
    assert cluster.ok("routes", "3").out.count("director (3)") == 1
    done = cluster("routes", "mial")
    assert (done.code, 'there is no group "mial"; did you mean "mail"?' in done.err) == (2, True)


def test_connections_and_the_end_of_one(cluster: ClusterRun) -> None:
    answer = cluster.ok("connections", "--json").json
    rows = {(row["router"], row["name"]): row["token"] for row in answer["connections"]}
    assert answer["ok"] is True
    assert {("router.1", "mail.1"), ("router.2", "director.2")} <= rows.keys()
    heads = cluster.ok("connections").out.splitlines()[0].split()
    assert heads[:5] == ["ROUTER", "TOKEN", "NAME", "ID", "FROM"]
    token = str(rows["router.2", "mail.1"])
    assert cluster.ok("close", "router.2", token).out == "the connection of mail.1 at router.2 is closed\n"
    until(lambda: cluster.status()["state"] == "healthy", "it connects again")
    assert any(event["kind"] == "close" for event in cluster.request("events", 0, 100))
    done = cluster("close", "router.2", token)
    assert (done.code, f"no connection with token {token}" in done.err) == (1, True)
    assert cluster("close", "router.9", token).code == 2
    assert cluster("close", "router.2", "own").code == 2
