"""`call`, as typed: what it prints, what it ends with, and which words it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

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


def test_a_broadcast_tells_whose_reply_is_an_error(cluster: ClusterRun) -> None:
    done = cluster("call", "broadcast:mail", "fail")
    assert done.code == 1
    replies = json.loads(done.out)
    assert set(replies) == {"mail.1", "mail.2"}
    assert replies["mail.1"]["error"] == "RemoteError"
    assert "no such mail" in replies["mail.1"]["message"]


def test_a_call_as_a_service_has_its_key(cluster: ClusterRun) -> None:
    assert (
        json.loads(cluster.ok("call", "random:mail", "hello", "bob", "--as", "director").out) == "hello bob"
    )
    assert json.loads(cluster.ok("call", "random:mail", "hello", "bob", "--as", "client").out) == "hello bob"
    done = cluster("call", "random:mail", "hello", "bob", "--as", "directer")
    assert done.code == 2
    assert 'there is no service "directer"; did you mean "director"?' in done.err


@pytest.mark.parametrize("words", [["--bob"], ["-b"], ["1", "--as=mail", "-x=1"], ["-t", "3", "--no"]])
def test_an_argument_that_looks_like_an_option_is_refused_with_the_way_out(
    cluster: ClusterRun, words: list[str]
) -> None:
    done = cluster("call", "random:mail", "add", *words)
    assert (done.code, done.out) == (2, "")
    assert f'call has no option "{words[-1]}"' in done.err
    assert "call ROUTE MSG -- " in done.err


def test_no_option_is_found_inside_of_a_number(cluster: ClusterRun) -> None:
    """-1t5 has the letter of -t in it, and -Infinity, too."""
    for word in ("-1t5", "-Infinity"):
        done = cluster("call", "random:mail", "add", word)
        assert (done.code, "BadArguments" in done.err) == (1, True), done
    assert "call: -t needs a value" in cluster("call", "random:mail", "add", "1", "-t").err


def test_of_a_group_that_elects_none_it_is_not_said_that_there_is_no_master_now(cluster: ClusterRun) -> None:
    done = cluster("call", "master:mail", "add", "1", "2")
    assert (done.code, "NoMaster: mail elects no master" in done.err) == (1, True), done


def test_behind_two_dashes_everything_is_an_argument(cluster: ClusterRun) -> None:
    assert json.loads(cluster.ok("call", "random:mail", "add", "--", "--json", "-t").out) == "--json-t"
    assert json.loads(cluster.ok("call", "random:mail", "add", "-1", "-0.5", "-t", "5").out) == -1.5


def test_json_has_the_shape_of_all_verbs(cluster: ClusterRun) -> None:
    assert cluster.ok("call", "--json", "random:mail", "add", "1", "2").json == {"ok": True, "reply": 3}
    replies = cluster.ok("call", "broadcast:mail", "hello", "1", "--json").json
    assert replies == {"ok": True, "replies": {"mail.1": "hello 1", "mail.2": "hello 1"}}
    failed = cluster("call", "random:mail", "fail", "--json")
    assert (failed.code, failed.json["ok"], failed.json["error"]["type"]) == (1, False, "RemoteError")
