"""Processes are families: they are measured, asked to end and ended as such, and who was killed is named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.launcher.harness import ClusterRun, alive, child, until

MASTER = """
trap 'echo master finishes; wait $worker; echo master: worker ended with $?; exit 0' TERM
sh -c 'trap "" INT; sleep 0.3; touch worker-is-there; while [ ! -e finish ]; do sleep 0.05; done; exit 7' &
worker=$!
echo ready
wait $worker
"""
PROBE = """
setsid sleep 1000 > /dev/null 2>&1 & echo $! >> probe-pids
sleep 1000 & echo $! >> probe-pids
echo trying; echo connection refused >&2; exit 1
"""
STANDS_STILL = """
setsid sh -c 'trap "echo goodbye; exit 0" TERM; echo ready; kill -STOP $$; sleep 1000' &
wait
"""
EATER = " ".join(child("grow=80000000", "ready", "wait"))
READY = {"ready": {"log": "ready"}}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("families") / "cluster")
    deaf = {"command": child("ignore=SIGTERM", "ready", "wait"), **READY, "restart": {"stop_timeout": 0.3}}
    probe = {"exec": ["sh", "-c", PROBE], "period": 0.1, "failure_threshold": 1000}
    run.write(
        {
            "eater": {"command": ["sh", "-c", f"{EATER}; echo over"], **READY},
            "master": {"command": ["sh", "-c", MASTER], **READY, "restart": {"stop_group": False}},
            "probed": {"command": child("ready", "wait"), **READY, "liveness": probe},
            "deaf": {**deaf, "instances": 2},
            "still": {"command": ["sh", "-c", STANDS_STILL], **READY},
            "masked": {"command": ["sh", "-c", "umask; ulimit -c; echo ready; exec sleep 1000"], **READY}
            | {"umask": "027", "rlimits": {"core": "unlimited"}},
        }
    )
    run.ok("up", "-d")
    yield run
    run.end()


def test_all_of_it_is_measured(families: ClusterRun) -> None:
    until(lambda: families.process("eater.1")["rss_bytes"] > 80_000_000, "its child is measured")
    assert families.process("eater.1")["threads"] >= 2


def test_who_stands_still_in_a_session_of_its_own_is_asked_too(families: ClusterRun) -> None:
    assert families.ok("stop", "still").out == "still.1 is stopped\n"
    assert "goodbye" in families.log("still")


def test_a_master_lets_its_worker_finish(families: ClusterRun) -> None:
    until(lambda: (families.folder / "worker-is-there").exists(), "the worker")
    families.request("stop", ["master"], {"by": "a test"})
    until(lambda: "master finishes" in families.log("master"), "the master was asked")
    (families.folder / "finish").touch()
    families.until_state("master.1", "exited")
    assert "master: worker ended with 7" in families.log("master")


def test_probes_leave_nothing_and_say_why(families: ClusterRun) -> None:
    def over() -> bool:
        pids = families.pids("probe-pids")
        return len(pids) >= 12 and not any(map(alive, pids[:-4]))

    until(over, "what earlier probes started is gone")
    families.ok("stop", "probed")
    until(lambda: not any(map(alive, families.pids("probe-pids"))), "nothing is left")


def test_that_one_was_killed_is_told_by_the_verb_the_event_and_the_status(families: ClusterRun) -> None:
    killed = "did not end within 0.3 s and was killed"
    stopped = families.ok("stop", "deaf.1")
    assert f"deaf.1 {killed}" in stopped.out
    row = families.process("deaf.1")
    assert row["state"] == "exited"
    assert row["detail"].endswith(killed)
    events = [json.loads(line)["text"] for line in families.run_dir.events_file.read_text().splitlines()]
    assert f"deaf.1 {killed}" in events
    restarted = families("restart", "deaf", "--json").json
    assert (restarted["ok"], f"deaf.2 {killed}" in restarted["text"]) == (True, True), restarted


def test_masks_and_limits(families: ClusterRun) -> None:
    mask, core, _ = families.log("masked").split("\n", 2)
    assert (mask, core) in {("0027", "unlimited"), ("0027", "0")}


def test_so_does_down(families: ClusterRun) -> None:
    done = families.ok("down")
    assert "deaf.2 did not end within 0.3 s and was killed" in done.out
