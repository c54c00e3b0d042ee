"""`completion` for each shell, with the names of the cluster; `init` is tested with what it writes, in test_starter.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("shell", "mark"),
    [("bash", "complete -o nosort -F"), ("zsh", "#compdef luabus-cluster"), ("fish", "complete --no-files")],
)
def test_each_shell_has_its_script(cluster: ClusterRun, shell: str, mark: str) -> None:
    out = cluster.ok("completion", shell).out
    assert mark in out
    assert "luabus-cluster" in out


def test_an_unknown_shell(cluster: ClusterRun) -> None:
    done = cluster("completion", "tcsh")
    assert (done.code, "'bash', 'zsh', 'fish'" in done.err) == (2, True)


def complete(cluster: ClusterRun, *words: str) -> list[str]:
    """What bash is told for this line, whose last word is unfinished."""
    line = ["luabus-cluster", "-c", str(cluster.file), *words]
    env = {
        **os.environ,
        "_LUABUS_CLUSTER_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    done = subprocess.run([BIN / "luabus-cluster"], env=env, capture_output=True, text=True, check=True)
    return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer]


def test_verbs_and_names_are_completed(cluster: ClusterRun) -> None:
    cluster.write({"mail": {"command": ["x"], "instances": 2}, "lobby": {"command": ["x"]}})
    assert complete(cluster, "re") == ["restart", "resume", "reload", "register"]
    assert complete(cluster, "restart", "ma") == ["mail", "mail.1", "mail.2"]
    assert complete(cluster, "scale", "lo") == ["lobby="]
    cluster.file.write_text("[[[")
    assert complete(cluster, "restart", "ma") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_script(cluster: ClusterRun) -> None:
    script = cluster.ok("completion", "bash").out + "\ncomplete -p luabus-cluster"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert "luabus-cluster" in done.stdout
