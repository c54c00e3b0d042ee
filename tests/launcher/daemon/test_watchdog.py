"""Nothing outlives the launcher: killed with -9 in every phase, alone, with its guard, or its guard alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.launcher.harness import ClusterRun, alive, child, until

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere the next `up` cleans up"
)

PROMISED_S = 2.0
"""After the death of the launcher."""

FAMILY = child(
    "pid=pids",
    "child",
    "stubborn-child",
    "regroup",
    "daemon",
    "hidden-daemon",
    "ignore=SIGTERM",
    "ready",
    "wait",
)
"""One with grandchildren of every kind: six processes, most of which do not listen to SIGTERM."""


def family(cluster: ClusterRun, size: int = 6) -> list[int]:
    """The pids of the family, once all of it lives."""
    found: list[int] = until(
        lambda: pids if len(pids := cluster.pids("pids")) == size else None, "the whole family"
    )
    return found


def all_gone(pids: list[int], patience_s: float = PROMISED_S) -> None:
    deadline = time.monotonic() + patience_s
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, [psutil.Process(pid).cmdline() for pid in left if alive(pid)]
        time.sleep(0.01)


def guard_of(launcher: int) -> int:
    return psutil.Process(launcher).ppid()


@pytest.mark.parametrize(
    ("raised", "said", "code"),
    [
        ("ValueError('what now')", "ValueError: what now", 1),
        ("OSError(28, 'No space left on device')", "luabus-cluster: No space left on device\n", 1),
        ("KeyboardInterrupt()", "", 130),
    ],
)
def test_what_nobody_expected_is_told(raised: str, said: str, code: int) -> None:
    program = f"""
import sys
from launcher.daemon.watchdog import guarded
def run(lifeline):
    print("hello")
    raise {raised}
sys.exit(guarded(run, lambda: None))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "hello\n")
    assert said in done.stderr
    assert ("Traceback" in done.stderr) is raised.startswith("ValueError")


def test_killed_while_running(cluster: ClusterRun) -> None:
    cluster.write({"family": {"command": FAMILY, "ready": {"log": "ready"}, "cwd": "."}}, routers=2)
    cluster.ok("up", "-d")
    pids = [*family(cluster), *(row["pid"] for row in cluster.status()["processes"])]
    launcher = cluster.launcher_pid
    guard = guard_of(launcher)
    os.kill(launcher, signal.SIGKILL)
    all_gone([launcher, *pids])
    until(lambda: not alive(guard), "the guard has ended")
    assert cluster("status").code == 3
    assert not cluster.run_dir.control_file.exists()


def test_killed_while_starting(cluster: ClusterRun) -> None:
    cluster.write({"slow": {"command": [*FAMILY[:-2], "wait"], "ready": {"log": "never"}, "cwd": "."}})
    cluster.foreground()
    pids = family(cluster)
    launcher = cluster.launcher_pid
    assert cluster.status()["state"] == "starting"
    os.kill(launcher, signal.SIGKILL)
    all_gone([launcher, *pids])


def test_killed_while_stopping(cluster: ClusterRun) -> None:
    cluster.write(
        {"slow": {"command": FAMILY, "ready": {"log": "ready"}, "cwd": ".", "restart": {"stop_timeout": 60}}}
    )
    cluster.ok("up", "-d")
    pids, launcher = family(cluster), cluster.launcher_pid
    os.kill(launcher, signal.SIGTERM)
    until(lambda: cluster.status()["state"] == "stopping", "it stops")
    os.kill(launcher, signal.SIGKILL)
    all_gone([launcher, *pids])


def test_the_guard_killed(cluster: ClusterRun) -> None:
    cluster.write({"family": {"command": FAMILY, "ready": {"log": "ready"}, "cwd": "."}})
    cluster.ok("up", "-d")
    pids, launcher = family(cluster), cluster.launcher_pid
    os.kill(guard_of(launcher), signal.SIGKILL)
    all_gone([*pids, launcher])


def test_both_killed_the_next_up_ends_what_is_left(cluster: ClusterRun) -> None:
    quick = {"stop_timeout": 0.2}
    cluster.write({"family": {"command": FAMILY, "ready": {"log": "ready"}, "cwd": ".", "restart": quick}})
    cluster.ok("up", "-d")
    pids, launcher = family(cluster), cluster.launcher_pid
    main = cluster.process("family.1")["pid"]
    guard = guard_of(launcher)
    os.kill(guard, signal.SIGSTOP)  # so that it cannot act before it is killed, too
    os.kill(launcher, signal.SIGKILL)
    os.kill(guard, signal.SIGKILL)
    all_gone([main])  # dies with the launcher by itself
    # One has neither our group nor our environment: only a living guard finds it.
    hidden = next(pid for pid in pids if alive(pid) and not Path(f"/proc/{pid}/environ").read_bytes())
    marked = [pid for pid in pids if pid not in (main, hidden)]
    assert any(alive(pid) for pid in marked)
    up = cluster.ok("up", "-d")
    assert "had left behind" in up.out
    assert not any(alive(pid) for pid in marked)
    if alive(hidden):
        os.kill(hidden, signal.SIGKILL)


def test_the_foreground_process_killed(cluster: ClusterRun) -> None:
    """What a user sees as the launcher is the guard."""
    cluster.write({"family": {"command": FAMILY, "ready": {"log": "ready"}, "cwd": "."}})
    shown = cluster.foreground()
    pids = family(cluster)
    launcher = cluster.launcher_pid
    shown.kill()
    all_gone([*pids, launcher])


def test_a_stale_run_dir_is_no_obstacle(cluster: ClusterRun) -> None:
    cluster.write({})
    run_dir = cluster.run_dir
    run_dir.prepare()
    # The pids of others, with the start times of processes long gone; and a lock nobody holds.
    recorded = [{"pid": os.getpid(), "started": 1.0}, {"pid": 1, "started": 1}]
    run_dir.processes_file.write_text(json.dumps({"run": "x", "processes": recorded}))
    run_dir.control_file.write_text('{"pid": 1, "host": "127.0.0.1", "port": 9}')
    run_dir.lock_file.write_text("1\n")
    assert cluster("status").code == 3
    up = cluster.ok("up", "-d")
    assert "left behind" not in up.out
    assert cluster("status").code == 0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"run": 5, "processes": 7}'])
def test_damaged_records_are_no_obstacle(cluster: ClusterRun, damage: str) -> None:
    cluster.write({})
    cluster.run_dir.prepare()
    cluster.run_dir.processes_file.write_text(damage)
    cluster.run_dir.control_file.write_text(damage)
    assert cluster("status").code == 3
    cluster.ok("up", "-d")


def test_terminating_the_guard_stops_in_order(cluster: ClusterRun) -> None:
    """A service manager sends SIGTERM to the process it started."""
    cluster.write(
        {
            "web": {
                "command": child("pid=pids", "on-term=0", "ready", "wait"),
                "ready": {"log": "ready"},
                "cwd": ".",
            }
        }
    )
    shown = cluster.foreground()
    cluster.until_state("web.1", "running")
    shown.terminate()
    out, _ = shown.communicate(timeout=20)
    assert shown.returncode == 0
    assert "the launcher got SIGTERM" in out
    assert not any(alive(pid) for pid in cluster.pids("pids"))
