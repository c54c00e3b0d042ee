"""`down`, as typed; `up` is tested in test_up.py and test_guard.py."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from tests.launcher.harness import ClusterRun, child


def test_down_prints_json_too(cluster: ClusterRun) -> None:
    cluster.write({})
    cluster.ok("up", "-d", "--json")
    done = cluster.ok("down", "--json").json
    assert (done["ok"], done["text"]) == (True, "the cluster has stopped")
    assert cluster("down").code == 3


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
