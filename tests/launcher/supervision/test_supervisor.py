"""Who starts after whom and stops before whom, in a real cluster."""

from __future__ import annotations

import json
import os
import pwd

import pytest

from tests.launcher.harness import ClusterRun, child

READY = {"command": child("sleep=0.1", "ready", "wait"), "ready": {"log": "ready"}}


def test_start_follows_readiness_and_stop_goes_the_other_way(cluster: ClusterRun) -> None:
    setup = {"command": child("sleep=0.1", "exit=0")}
    cluster.write(
        {
            "front": {**READY, "depends_on": ["middle"]},
            "middle": {**READY, "depends_on": ["back", "setup"]},
            "back": READY,
            "setup": setup,
        }
    )
    cluster.ok("up", "-d")
    cluster.ok("down")
    events = [json.loads(line) for line in cluster.run_dir.events_file.read_text().splitlines()]
    moves = [(event["name"], event["state"]) for event in events if event["kind"] == "state"]

    def at(name: str, state: str) -> int:
        return moves.index((name, state))

    started = [event["name"] for event in events if event["kind"] == "process"]
    assert started[0] == "router.1"
    assert started.index("middle.1") > max(started.index("back.1"), started.index("setup.1"))
    assert (
        at("router.1", "running")
        < at("back.1", "running")
        < at("middle.1", "running")
        < at("front.1", "running")
    )
    assert at("setup.1", "exited") < at("middle.1", "running")
    assert at("front.1", "exited") < at("middle.1", "stopping")
    assert at("middle.1", "exited") < at("back.1", "stopping")
    assert at("back.1", "exited") < at("router.1", "stopping")


def test_who_runs_as_a_user_is_at_home(cluster: ClusterRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/the/launchers")
    own = pwd.getpwuid(os.geteuid())
    tell = {"command": child("env=HOME", "env=USER", "ready", "wait"), "ready": {"log": "ready"}}
    cluster.write({"plain": tell, "user": {**tell, "user": own.pw_name, "env": {"USER": "as configured"}}})
    cluster.ok("up", "-d")
    assert "/the/launchers" in cluster.log("plain")
    assert own.pw_dir in cluster.log("user")
    assert "as configured" in cluster.log("user")
