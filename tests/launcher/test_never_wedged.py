"""A launcher that has run out of something still answers, and ends when it is told to."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from luabus.errors import Refused
from tests.launcher.harness import ClusterRun, until

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the limits of another process")
WORKER = {"command": ["sh", "-c", "ulimit -Sn; exec sleep 1000"], "instances": 8}


def up(cluster: ClusterRun, before: str = "") -> None:
    words = " ".join(cluster._command(["up", "-d"]))
    subprocess.run(["sh", "-c", f"{before}exec {words}"], check=True, timeout=60, capture_output=True)


@contextlib.contextmanager
def few_descriptors(pid: int, more: int) -> Iterator[None]:
    """A process has `more` left of those that it may have."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    limit = len(os.listdir(f"/proc/{pid}/fd")) + more
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    yield
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@LINUX
def test_out_of_descriptors(cluster: ClusterRun) -> None:
    """What starts gets the limit that the launcher was started with, or its own."""
    cluster.write({"w": WORKER, "own": {**WORKER, "instances": 1, "rlimits": {"nofile": [55, 66]}}})
    up(cluster, "ulimit -Sn 77; ")
    until(lambda: cluster.log("own").strip() == "55", "the limit of own")
    assert cluster.log("w.1").strip() == "77"
    launcher = cluster.launcher_pid
    cluster.ok("stop", "w")
    with few_descriptors(launcher, 18):
        started = cluster("start", "w")
        assert started.code == 1
        assert (
            "w.8 did not come up: 'sh' could not be started: Too many open files" in started.out + started.err
        )
        rows = cluster.status()["processes"]
        assert {row["name"] for row in rows if row["state"] == "running"} >= {"router.1", "own.1"}
        assert next(row for row in rows if row["name"] == "own.1")["rss_bytes"] > 0
        cluster.ok("stop", "w")
        cluster.ok("down")
    assert cluster("status").code == 3


@LINUX
def test_readers_of_logs_leave_room_for_who_wants_an_end(cluster: ClusterRun) -> None:
    cluster.write({"w": {**WORKER, "instances": 1}})
    up(cluster)
    with (
        few_descriptors(cluster.launcher_pid, 2),
        pytest.raises(Refused, match="readers follow the logs already"),
    ):
        cluster.request("follow", ["w"], 1)
    launcher = cluster.launcher_pid
    os.kill(launcher, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{launcher}"), "its end")


def test_a_disk_that_is_full(cluster: ClusterRun, tmp_path: Path) -> None:
    """Whatever it would write: records, logs, events, keys."""
    cluster.write({"w": {**WORKER, "instances": 2}})
    up(cluster)
    launcher = cluster.launcher_pid
    if sys.platform.startswith("linux"):
        resource.prlimit(launcher, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    cluster.ok("restart", "w")
    cluster.ok("stop", "w.1")
    cluster.ok("down")


@pytest.mark.skipif(sys.platform == "win32", reason="needs job control")
def test_ctrl_z_then_down(cluster: ClusterRun) -> None:
    cluster.write({"w": {**WORKER, "instances": 1}})
    guard = cluster.foreground()
    cluster.until_state("w.1", "running")
    follower = subprocess.Popen(
        cluster._command(["logs", "-f"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    follower.stdout.readline()
    guard.send_signal(signal.SIGSTOP)  # of SIGTSTP nobody hears in a session without a terminal
    until(lambda: stopped(guard.pid), "it stands still")
    began = time.monotonic()
    cluster.ok("down")
    assert follower.wait(10) == 0
    assert guard.wait(10) == 0
    assert time.monotonic() - began < 15.0
    follower.communicate()


def test_a_watchdog_that_stands_still_when_the_launcher_is_killed(cluster: ClusterRun) -> None:
    cluster.write({"w": {**WORKER, "instances": 1}})
    guard = cluster.foreground()
    cluster.until_state("w.1", "running")
    follower = subprocess.Popen(
        cluster._command(["logs", "-f"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    follower.stdout.readline()
    guard.send_signal(signal.SIGSTOP)
    until(lambda: stopped(guard.pid), "it stands still")
    os.kill(cluster.launcher_pid, signal.SIGKILL)
    _, said = follower.communicate(timeout=15)
    assert (follower.returncode, "was killed, and the cluster ended with it" in said) == (1, True)
    assert guard.wait(10) == 137


def stopped(pid: int) -> bool:
    import psutil

    return psutil.Process(pid).status() == psutil.STATUS_STOPPED
