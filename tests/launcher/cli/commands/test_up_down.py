"""`down`, as typed; `up` is tested in test_up.py and test_watchdog.py."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

from tests.launcher.harness import ClusterRun, alive, child, until


def test_down_prints_json_too(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.ok("up", "-d", "--json")
    done = cluster.ok("down", "--json").json
    assert (done["ok"], done["text"]) == (True, "the cluster has stopped")
    assert cluster("down").code == 3


def test_a_launcher_that_is_killed_has_not_stopped_the_cluster(cluster: ClusterRun) -> None:
    slow = {
        "command": child("pid=pids", "ignore=SIGTERM", "child", "ready", "wait"),
        "ready": {"log": "ready"},
        "restart": {"stop_timeout": 60},
        "cwd": ".",
    }
    cluster.write({"slow": slow})
    cluster.ok("up", "-d")
    pids, launcher = cluster.pids("pids"), cluster.launcher_pid
    words = [sys.executable, "-m", "launcher", "-c", str(cluster.file)]
    asked = [
        subprocess.Popen([*words, *verb], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for verb in (["logs", "-f", "slow"], ["down"])
    ]
    until(lambda: cluster.status()["state"] == "stopping", "it stops")
    assert asked[0].stdout is not None
    asked[0].stdout.readline()  # it follows
    os.kill(launcher, signal.SIGKILL)
    for process in asked:
        _, said = process.communicate(timeout=20)
        assert f"the launcher (pid {launcher}) was killed" in said
        assert process.returncode == 1
        assert not any(alive(pid) for pid in pids)


def test_on_a_terminal_down_says_for_what_it_waits(cluster: ClusterRun) -> None:
    slow = {
        "command": child("ignore=SIGTERM", "ready", "wait"),
        "ready": {"log": "ready"},
        "restart": {"stop_timeout": 1.0},
    }
    cluster.write({"slow": slow})
    cluster.ok("up", "-d")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "launcher", "-c", str(cluster.file), "down"]
    with subprocess.Popen(
        command, stdout=slave, stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(slave)
        seen = b""
        try:
            while chunk := os.read(master, 4096):
                seen += chunk
        except OSError:
            pass  # the terminal's end
    os.close(master)
    assert process.returncode == 0
    assert b"waiting for " in seen
    assert b"slow.1" in seen
    assert seen.rstrip().endswith(b"the cluster has stopped")
