"""The system calls that Python does not wrap."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from launcher.processes import linux
from tests.launcher.harness import child

pytestmark = pytest.mark.skipif(not linux.LINUX, reason="Linux only")


def test_children_are_seen_zombies_included() -> None:
    process = subprocess.Popen(child("exit=0"))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process.pid in (linux.direct_children() or set())
    process.wait()
    assert process.pid not in (linux.direct_children() or set())


def test_a_child_dies_with_its_parent() -> None:
    script = (
        "import os, subprocess, sys; from launcher.processes import linux; me = os.getpid();"
        "p = subprocess.Popen(['sleep', '100'], preexec_fn=lambda: linux.die_with(me));"
        "print(p.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    sleeper = int(parent.stdout.readline())
    handle = os.pidfd_open(sleeper)
    parent.kill()
    parent.communicate()
    import select

    assert select.select([handle], [], [], 5)[0], "it outlived its parent"
    os.close(handle)


def test_a_child_whose_parent_is_gone_already_ends() -> None:
    script = "from launcher.processes import linux; linux.die_with(1 << 22); print('alive')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
