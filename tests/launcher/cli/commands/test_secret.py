"""secret rotate, secret client, and call --as, as typed. A change under load is in tests/e2e/test_rotation.py."""

from __future__ import annotations

import json
import os

import pytest

import luabus
from tests.launcher.harness import ClusterRun, until


def test_the_secret_is_changed_and_its_steps_are_told(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.run_dir.prepare()
    old = cluster.run_dir.secret()
    done = cluster.ok("secret", "rotate", "--grace", "0")
    assert done.out.splitlines()[0] == "routers and launcher accept a new secret beside the present one"
    assert done.out.splitlines()[-1] == "the old secret is accepted no longer"
    assert cluster.run_dir.secret() != old
    told = cluster.ok("secret", "rotate", "--grace", "0", "--json").json
    assert (told["ok"], told["grace_s"]) == (True, 0)
    assert [step["step"] for step in told["steps"]] == ["accept", "keys", "swap", "wait", "done"]
    assert cluster.run_dir.secret().decode() not in json.dumps(told)


def test_a_clients_key_is_printed(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.run_dir.prepare()
    line = cluster.ok("secret", "client").out.strip()
    assert line == luabus.Security.of(cluster.run_dir.secret()).key_line(luabus.Principal("client"))
    assert cluster.ok("secret", "client", "--json").json == {"ok": True, "key": line}


def test_without_a_secret_there_is_nothing_to_change(cluster: ClusterRun) -> None:
    cluster.write({})
    for words in (["secret", "rotate"], ["secret", "client"]):
        done = cluster(*words)
        assert done.code == 1
        assert "No such file or directory" in done.err


ROUTER_ONLY = """
import luabus

service = luabus.Service()

@service.rpc
def hello():
    return "hello"
"""


def test_a_call_is_a_clients_unless_it_is_made_as_a_service(cluster: ClusterRun) -> None:
    cluster.module("mail", ROUTER_ONLY)
    cluster.write(
        {
            "mail": {"run": "mail:service", "group": 2, "callers": ["gateway"]},
            "gateway": {"run": "mail:service", "group": 1, "instances": 0},
        }
    )
    cluster.ok("up", "-d")
    done = cluster("call", "random:mail", "hello")
    assert done.code == 1
    assert (
        "Forbidden: client may not call mail; allowed: gateway; `--as gateway` calls as that service"
        in done.err
    )
    assert cluster.ok("call", "random:mail", "hello", "--as", "gateway").json == "hello"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becomes another user")
def test_a_service_of_another_user_reads_its_key_and_then_the_new_one(cluster: ClusterRun) -> None:
    shows = 'while :; do read -r line < "$LUABUS_KEY_FILE"; echo "$(id -u) ${line%????????}"; sleep 0.1; done'
    cluster.write({"spy": {"command": ["/bin/sh", "-c", shows], "user": "nobody"}})
    cluster.ok("up", "-d")

    def key() -> str:
        secret = luabus.Security.of(cluster.run_dir.secret())
        return secret.key_line(luabus.Principal("service", "spy"))[:-8]

    def shown() -> str:
        return cluster.ok("logs", "spy", "-n", "5").out

    first = key()
    until(lambda: f"65534 {first}" in shown(), shown)
    cluster.ok("secret", "rotate", "--grace", "0")
    assert key() != first
    until(lambda: f"65534 {key()}" in shown(), shown)
    cluster.ok("restart", "spy")
    until(lambda: f"65534 {key()}" in shown() and first not in shown(), shown)
