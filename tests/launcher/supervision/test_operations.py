"""The verbs on a running cluster, through the command line: start, stop, restart, kill, scale, reload."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from luabus.errors import Refused
from tests.launcher.harness import ClusterRun, alive, child, until
from tests.support.ports import free_ports

READY = {"command": child("fail-if=bad", "ready", "wait"), "ready": {"log": "ready"}, "cwd": "."}
WAIT = {"by": "test", "wait": True, "yes": True}
QUICK = {"backoff": 0.05, "stop_timeout": 2.0}
SERVICES = {
    "web": {**READY, "instances": 3, "restart": QUICK},
    "db": {**READY, "restart": QUICK},
    "shards": {**READY, "group": 9, "route": "hash", "instances": 2, "ready": {"log": "ready"}},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("verbs") / "cluster")
    run.write(SERVICES)
    run.ok("up", "-d")
    yield run
    run.end()


@pytest.fixture
def cluster(shared: ClusterRun) -> ClusterRun:
    """The shared cluster, as it was first written, all of it up and healthy."""
    (shared.folder / "bad").unlink(missing_ok=True)
    shared.write(SERVICES)
    shared.request("reload", False, WAIT)
    for name, keys in SERVICES.items():
        shared.request("scale", name, keys.get("instances", 1), WAIT)
        shared.request("start", name, WAIT)
    return shared


def pids(cluster: ClusterRun) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in cluster.status()["processes"]}


def events(cluster: ClusterRun) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cluster.run_dir.events_file.read_text().splitlines()]


def test_stop_and_start_one_instance(cluster: ClusterRun) -> None:
    before = pids(cluster)
    assert "web.2 is stopped" in cluster.ok("stop", "web.2").out
    assert not alive(before["web.2"])
    assert cluster.process("web.2")["wanted"] is False
    problems = cluster.status()["health"]["problems"]
    assert [one["code"] for one in problems if one["about"] == "web.2"] == ["health.was-stopped-by"]
    assert "web.2 is running" in cluster.ok("start", "web.2").out
    after = pids(cluster)
    assert after.pop("web.2") != before.pop("web.2")
    assert after == before


def test_several_names_at_once_and_json(cluster: ClusterRun) -> None:
    report = cluster.ok("stop", "web.1", "db", "--json").json
    assert report["processes"] == {"web.1": "exited", "db.1": "exited"}
    assert cluster.ok("start", "db.1", "--json").json == {
        "ok": True,
        "message": None,
        "text": "",
        "processes": {"db.1": "running"},
    }


def test_restart_is_rolling(cluster: ClusterRun) -> None:
    before, seen = pids(cluster), len(events(cluster))
    cluster.ok("restart", "web")
    after = pids(cluster)
    assert all(before[name] != after[name] for name in ("web.1", "web.2", "web.3"))
    moves = [
        (e["name"], e["state"]) for e in events(cluster)[seen:] if e["kind"] == "state" and "web" in e["name"]
    ]
    each = ["stopping", "starting", "running"]
    assert moves == [(name, state) for name in ("web.1", "web.2", "web.3") for state in each]


def test_a_rolling_restart_ends_at_the_first_that_does_not_come_back(cluster: ClusterRun) -> None:
    before = pids(cluster)
    (cluster.folder / "bad").touch()
    done = cluster("restart", "web")
    assert done.code == 1
    assert "web.1 did not come up" in done.out
    assert "not touched: web.2, web.3" in done.out
    after = pids(cluster)
    assert (after["web.2"], after["web.3"]) == (before["web.2"], before["web.3"])
    assert any((e["kind"], e["message"]["code"]) == ("restart", "audit.aborted") for e in events(cluster))


def test_verbs_on_one_process_follow_one_another(cluster: ClusterRun) -> None:
    restarts = cluster.process("db.1")["restarts"]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: cluster.request("restart", "db.1", WAIT), range(3)))
    assert all(one["ok"] for one in done)
    assert cluster.process("db.1")["restarts"] == restarts + 3


def test_names_that_mean_the_same_process_touch_it_once(cluster: ClusterRun) -> None:
    seen = len(events(cluster))
    assert cluster.ok("restart", "web.1", "web", "web.1", "db").out.count("web.1 is running") == 1
    begun = [e["name"] for e in events(cluster)[seen:] if e["kind"] == "process"]
    assert begun == ["web.1", "web.2", "web.3", "db.1"]


def test_kill_leaves_the_rest_to_the_restart_policy(cluster: ClusterRun) -> None:
    row = cluster.process("db.1")
    assert "sent SIGKILL to db.1" in cluster.ok("kill", "db.1").out
    again = until(
        lambda: (now := cluster.process("db.1"))["state"] == "running" and now["pid"] != row["pid"] and now,
        "back",
    )
    assert again["exit"]["signal"] == "SIGKILL"
    assert again["restarts"] == row["restarts"] + 1
    cluster.ok("kill", "db", "--signal", "usr1")  # a service's name means all its instances
    until(lambda: cluster.process("db.1")["exit"]["signal"] == "SIGUSR1", "the other signal")


def test_scale_leaves_those_that_run_alone(cluster: ClusterRun) -> None:
    before = pids(cluster)
    up = cluster.ok("scale", "web=5")
    assert "web has 5 instances" in up.out
    after = pids(cluster)
    assert {"web.4", "web.5"} == after.keys() - before.keys()
    assert all(after[name] == pid for name, pid in before.items())
    down = cluster.ok("scale", "web=2")
    assert "web.3 is gone" in down.out
    assert pids(cluster).keys() == before.keys() - {"web.3"}
    assert not any(alive(after[name]) for name in ("web.3", "web.4", "web.5"))


def test_a_scaled_number_survives_a_reload_until_the_file_says_another(cluster: ClusterRun) -> None:
    cluster.request("scale", "web", 4, WAIT)
    cluster.request("reload", False, WAIT)
    assert "web.4" in pids(cluster)
    cluster.write({**SERVICES, "web": {**SERVICES["web"], "instances": 2}})
    cluster.request("reload", False, WAIT)
    assert {name for name in pids(cluster) if name.startswith("web")} == {"web.1", "web.2"}


def changed_file(cluster: ClusterRun) -> None:
    """web gets a variable, db goes, cache comes, shards stays."""
    services = {**SERVICES, "web": {**SERVICES["web"], "env": {"NEW": "1"}}, "cache": READY}
    del services["db"]
    cluster.write(services)


def test_reload_dry_run_tells_what_it_would_do_and_does_nothing(cluster: ClusterRun) -> None:
    before = pids(cluster)
    changed_file(cluster)
    plan = cluster.ok("reload", "--dry-run", "--json").json
    assert plan["added"] == ["cache.1"]
    assert plan["removed"] == ["db.1"]
    assert plan["changed"] == {name: ["services.web.env"] for name in ("web.1", "web.2", "web.3")}
    assert plan["unchanged"] == ["router.1", "shards.1", "shards.2"]
    shown = cluster.ok("reload", "--dry-run").out
    assert "restart web.1 (services.web.env)" in shown
    assert "only with --yes, as it takes away or moves services.db" in shown
    assert plan["taken_away"] == ["services.db"]
    assert pids(cluster) == before


def test_reload_touches_only_what_changed(cluster: ClusterRun) -> None:
    before = pids(cluster)
    changed_file(cluster)
    done = cluster.ok("reload", "--yes")
    assert "cache.1 is running" in done.out
    assert "db.1 is gone" in done.out
    after = pids(cluster)
    assert after.keys() == before.keys() - {"db.1"} | {"cache.1"}
    assert not alive(before["db.1"])
    for name in ("router.1", "shards.1", "shards.2"):
        assert after[name] == before[name]
    for name in ("web.1", "web.2", "web.3"):
        assert after[name] != before[name]
        assert b"NEW=1" in Path(f"/proc/{after[name]}/environ").read_bytes().split(b"\0")
    assert cluster.ok("reload").out.startswith("nothing to change")


@pytest.mark.parametrize("left", ["nothing", "half", "one service less", "another port"])
def test_a_file_that_takes_something_away_wants_a_yes(cluster: ClusterRun, left: str) -> None:
    before, text = pids(cluster), cluster.file.read_text()
    moved = text.replace(f"port = {cluster.router_port}", f"port = {cluster.router_port + 1}")
    services = text.index("[services.")
    cluster.file.write_text(
        {
            "nothing": "",
            "half": text[:services],
            "one service less": text[: text.rindex("[services.")],
            "another port": moved,
        }[left]
    )
    try:
        done = cluster("reload")
        assert done.code == 1
        assert "nothing was changed: cluster.toml as it is now takes away or moves " in done.err
        assert ("routers.port" if left == "another port" else "services.") in done.err
        assert "`luabus-cluster reload --yes` does that, too" in done.err
        assert pids(cluster) == before
        os.kill(cluster.launcher_pid, signal.SIGHUP)
        until(
            lambda: any(
                "reload by SIGHUP: nothing was changed" in e["text"]
                for e in cluster.request("events", 0, 9999)[-3:]
            ),
            "the refusal, as an event",
        )
        assert pids(cluster) == before
    finally:
        cluster.file.write_text(text)


@pytest.mark.parametrize(
    ("found", "written", "why"),
    [
        ("[services.web]", "[services.web]\ninstnces = 2", 'instnces: unknown key; did you mean "instances"'),
        ("[services.web]", "[[[", "is not valid TOML"),
        ('name = "test"', 'name = "other"', "cluster.name and cluster.run_dir cannot change while it runs"),
        ("[services.db]", '[services.db]\nenv_file = "none.env"', "none.env cannot be read"),
    ],
)
def test_a_broken_file_changes_nothing(cluster: ClusterRun, found: str, written: str, why: str) -> None:
    before = pids(cluster)
    cluster.file.write_text(cluster.file.read_text().replace(found, written))
    with pytest.raises(Refused, match=re.escape(why)):
        cluster.request("reload", False, WAIT)
    assert pids(cluster) == before


def test_a_new_process_whose_port_is_taken_changes_nothing(cluster: ClusterRun) -> None:
    before = pids(cluster)
    port = free_ports()
    with socket.create_server(("127.0.0.1", port)):
        cluster.dashboard_port = port
        cluster.write(SERVICES, dashboard=True)
        with pytest.raises(
            Refused, match=f"nothing was changed: dashboard cannot listen at 127.0.0.1:{port}"
        ):
            cluster.request("reload", False, WAIT)
    assert pids(cluster) == before


def test_who_did_what_is_written_down(cluster: ClusterRun) -> None:
    cluster.ok("stop", "db.1")
    last = [event for event in events(cluster) if event["by"]][-1]
    assert (last["kind"], last["name"], last["from"]) == ("stop", "db.1", "command line")
    assert last["message"] == {"code": "audit.stop", "values": {"name": "db.1"}}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["start", "wbe"], 'there is no process or service "wbe"; did you mean "web"?'),
        (["stop", "web.9"], 'there is no process or service "web.9"'),
        (["kill", "web.1", "-s", "SIGFOO"], "there is no signal 'SIGFOO'; usual are"),
        (["scale", "wbe=2"], 'there is no service "wbe"; did you mean "web"?'),
        (["scale", "web=100000"], "found 100000 instances; allowed: 0 to 65535"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    cluster: ClusterRun, words: list[str], text: str
) -> None:
    done = cluster(*words)
    assert done.code == 2
    assert text in done.err
    assert "Traceback" not in done.err


def test_what_only_the_launcher_knows_is_refused_there(cluster: ClusterRun) -> None:
    with pytest.raises(Refused, match="found 70000 instances; allowed: 0 to 65535"):
        cluster.request("scale", "web", 70000, WAIT)


def test_what_follows_an_end_is_told_before_it(cluster: ClusterRun) -> None:
    told = ("kind", "wanted", "restart_policy", "restarts_left", "liveness_timeout_s")
    rows = {name: [cluster.process(name)[key] for key in told] for name in ("router.1", "shards.1")}
    assert rows == {
        "router.1": ["router", True, "always", 4, None],
        "shards.1": ["command", True, "on-failure", 4, None],  # its probe says how it is
    }
    cluster.request("start", "db", WAIT)
    before = cluster.process("db.1")
    cluster.request("kill", "db.1")
    left = until(
        lambda: (now := cluster.process("db.1"))["restarts"] > before["restarts"] and now["restarts_left"],
        "it is back",
    )
    assert left == before["restarts_left"] - 1


def test_kill_of_what_has_no_process(cluster: ClusterRun) -> None:
    cluster.request("stop", "db.1", WAIT)
    for names in ("db.1", ["db.1", "db", "db.1"]):
        with pytest.raises(Refused) as refused:
            cluster.request("kill", names)
        assert str(refused.value) == "db.1 has no process: it is stopped"
