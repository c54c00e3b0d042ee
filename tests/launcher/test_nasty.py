"""Nasty children, all in one cluster: each is handled as promised, none disturbs the others, and nothing remains."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.launcher.harness import ClusterRun, alive, child, until

WAIT = {"by": "test", "wait": True, "yes": True}
HUNG = """
import asyncio, os, time
import luabus

service = luabus.Service()

@service.rpc
def hang():
    time.sleep(1000)
"""
HIDE = """
setsid env -i sh -c 'echo $$ >>hidden; exec sleep 1000' <&- >&- 2>&- &
sleep 0.1; echo ready; exec sleep 1000
"""
QUICK = {"backoff": 0.05, "stop_timeout": 0.5}
READY: dict[str, Any] = {"ready": {"log": "^ready$"}, "cwd": ".", "restart": QUICK}
LATER = {"instances": 0, "cwd": ".", "restart": QUICK}
"""Started by `scale`, because it would keep the cluster from coming up."""

SERVICES: dict[str, dict[str, Any]] = {
    "stubborn": {**READY, "command": child("ignore=SIGTERM", "ready", "wait")},
    "brief": {"command": child("say=done", "exit=0"), "cwd": "."},
    "parent": {**READY, "command": child("pid=parent", "child", "stubborn-child", "regroup", "exit=0")},
    "daemon": {**READY, "command": child("pid=daemon", "daemon", "hidden-daemon", "ready", "wait")},
    "hider": {**LATER, "ready": {"log": "^ready$"}, "command": ["sh", "-c", HIDE]},
    "quiet": {**READY, "command": child("ready", "close-stdout", "wait")},
    "frozen": {**READY, "command": child("ready", "stop", "wait")},
    "odd": {**READY, "command": child("raw=66fffe0a", "raw=1b5b324a0a", 'say={"json": [1, "ž"]}', "ready", "wait")},
    "flood": {"command": child("flood=0"), "cwd": "."},
    "crash": {**LATER, "command": child("err=my last words", "exit=7"), "restart": {**QUICK, "crash_limit": 3}},
    "slow-crash": {
        **LATER, "ready": {"log": "^ready$"}, "command": child("ready", "sleep=0.05", "kill=SIGSEGV"),
        "restart": {**QUICK, "crash_limit": 3, "crash_window": 0.01, "slow_crash_limit": 4},
    },
    "shy": {
        **LATER, "ready": {"log": "never"}, "start_timeout": 0.3, "command": child("wait"),
        "restart": {**QUICK, "crash_limit": 2},
    },
    "fat": {**LATER, "command": child("sleep=0.5", "grow=80000000", "wait"), "max_rss": "60MB"},
    "hung": {"run": "hung:service", "group": 9, "liveness_timeout": 0.5, "restart": QUICK, "instances": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("nasty") / "cluster")
    run.module("hung", HUNG)
    SERVICES["parent"].pop("ready")
    run.write(SERVICES, extra='[logs]\nmax_size = "1MB"\nkeep = 1')
    run.ok("up", "-d")
    yield run
    run.end()


def test_one_that_ends_with_success_at_once_is_left_alone(cluster: ClusterRun) -> None:
    row = cluster.until_state("brief.1", "exited")
    assert (row["exit"]["text"], row["restarts"]) == ("exit code 0", 0)
    assert cluster.log("brief.1").splitlines()[0] == "done"


def test_what_it_left_behind_is_ended_before_it_counts_as_gone(cluster: ClusterRun) -> None:
    cluster.until_state("parent.1", "exited")
    pids = cluster.pids("parent")
    assert len(pids) == 4
    assert not any(map(alive, pids))
    assert "left 3 processes behind" in cluster.log("parent.1")


def test_one_that_ignores_sigterm_is_killed_at_the_deadline(cluster: ClusterRun) -> None:
    pid = cluster.process("stubborn.1")["pid"]
    cluster.request("stop", "stubborn", WAIT)
    assert not alive(pid)
    assert cluster.process("stubborn.1")["exit"]["signal"] == "SIGKILL"
    assert "did not end in time: SIGKILL" in cluster.log("stubborn.1")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a daemon that hides is not found")
def test_daemons_are_ended_with_it(cluster: ClusterRun) -> None:
    pids = until(lambda: found if len(found := cluster.pids("daemon")) == 3 else None, "three processes")
    assert all(map(alive, pids))
    cluster.request("stop", "daemon", WAIT)
    assert not any(map(alive, pids))  # one has neither our group nor our environment


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a daemon that hides is not found")
def test_a_daemon_with_closed_descriptors_and_no_environment_leaves_none_behind(cluster: ClusterRun) -> None:
    cluster.request("scale", "hider", 1, WAIT)
    for _ in range(2):
        cluster.request("restart", "hider", WAIT)
    pids = cluster.pids("hidden")
    assert [alive(pid) for pid in pids] == [False, False, True]
    os.kill(cluster.process("hider.1")["pid"], signal.SIGKILL)
    until(lambda: len(cluster.pids("hidden")) == 4, "it is back")
    assert not alive(pids[-1])
    cluster.request("stop", "hider", WAIT)
    assert not any(map(alive, cluster.pids("hidden")))


def test_one_that_closes_its_output_runs_on(cluster: ClusterRun) -> None:
    row = cluster.process("quiet.1")
    assert (row["state"], row["restarts"]) == ("running", 0)


def test_one_that_is_frozen_can_be_stopped(cluster: ClusterRun) -> None:
    pid = cluster.process("frozen.1")["pid"]
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "it is stopped")
    cluster.request("stop", "frozen", WAIT)
    assert cluster.process("frozen.1")["exit"]["signal"] == "SIGTERM"


def test_output_that_is_no_text_or_worse_is_shown_harmlessly(cluster: ClusterRun) -> None:
    lines = cluster.log("odd.1").splitlines()
    assert lines[:3] == ["f\\xff\\xfe", "\\x1b[2J", '{"json": [1, "ž"]}']


def test_a_flood_without_newlines_fills_neither_memory_nor_disk(cluster: ClusterRun) -> None:
    logs = cluster.run_dir.log_dir
    until(lambda: (logs / "flood.1.log.1").exists(), "it is rotated")
    size = sum(file.stat().st_size for file in logs.glob("flood.1.log*"))
    assert size <= 2 * 1024 * 1024
    assert psutil.Process(cluster.launcher_pid).memory_info().rss < 150e6
    assert cluster.request("status")["cluster"] == "test"  # it answers all the while
    cluster.request("stop", "flood", WAIT)


def test_a_crasher_is_given_up_with_its_last_words(cluster: ClusterRun) -> None:
    cluster.request("scale", "crash", 1, {})
    row = cluster.until_state("crash.1", "failed")
    assert row["restarts"] == 2
    assert row["exit"]["text"] == "exit code 7"
    assert row["exit"]["stderr"] == ["my last words"]
    assert "3 crashes within 60 s" in row["detail"]
    status = cluster("status")
    assert status.code == 1
    assert "crash.1 has failed: exit code 7; given up" in status.out


def test_a_slow_crasher_is_given_up_too(cluster: ClusterRun) -> None:
    cluster.request("scale", "slow-crash", 1, {})
    row = cluster.until_state("slow-crash.1", "failed")
    assert row["exit"]["signal"] == "SIGSEGV"
    assert "4 crashes within 3600 s" in row["detail"]


def test_one_that_never_becomes_ready_is_given_up(cluster: ClusterRun) -> None:
    cluster.request("scale", "shy", 1, {})
    row = cluster.until_state("shy.1", "failed")
    assert "not ready within 0.3 s" in row["detail"]


def test_one_that_takes_too_much_memory_is_replaced(cluster: ClusterRun) -> None:
    cluster.request("scale", "fat", 1, {})
    until(lambda: cluster.process("fat.1")["restarts"], "it was replaced")
    assert "exceeds max_rss = 62914560" in cluster.log("fat.1")
    cluster.request("scale", "fat", 0, WAIT)


def test_a_service_taken_out_of_the_tables_by_hand_is_no_hung_one(cluster: ClusterRun) -> None:
    pid = cluster.until_state("hung.1", "running")["pid"]
    cluster.ok("register", "hung.1", "0")
    until(lambda: "it was taken out by hand" in cluster.log("hung.1"), "it is left alone")
    row = cluster.process("hung.1")
    assert (row["pid"], row["state"]) == (pid, "running")
    cluster.ok("register", "hung.1", "own")


def test_a_service_whose_event_loop_hangs_is_replaced(cluster: ClusterRun) -> None:
    pid = cluster.process("hung.1")["pid"]
    assert cluster("call", "-t", "0.2", "target:hung.1", "hang").code == 1
    row = until(
        lambda: (now := cluster.process("hung.1"))["pid"] != pid and now["state"] == "running" and now,
        "it is replaced",
    )
    assert row["restarts"] == 1
    assert "its event loop hangs" in cluster.log("hung.1")


def test_a_service_stopped_by_a_signal_is_replaced(cluster: ClusterRun) -> None:
    pid = cluster.until_state("hung.1", "running")["pid"]
    os.kill(pid, signal.SIGSTOP)
    until(
        lambda: (now := cluster.process("hung.1"))["pid"] != pid and now["state"] == "running",
        "it is replaced",
    )
    assert not alive(pid)


def test_nothing_remains(cluster: ClusterRun) -> None:
    """Last in this module."""
    below = [process.pid for process in psutil.Process(cluster.launcher_pid).children(recursive=True)]
    cluster.ok("down")
    written = [pid for file in ("parent", "daemon") for pid in cluster.pids(file)]
    assert not any(map(alive, [*below, *written]))
    assert not cluster.run_dir.control_file.exists()
    assert not cluster.run_dir.processes_file.exists()
