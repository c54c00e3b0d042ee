"""SIGUSR1 and SIGUSR2 end none of luabus' own processes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = "import sys; from luabus import log_signals; log_signals.survive(); print('ready', flush=True); sys.stdin.read()"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_who_survives_goes_on(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 0


def test_what_is_started_inside_gets_them_when_it_survives() -> None:
    code = (
        "import subprocess, sys; from luabus import log_signals\n"
        "with log_signals.held_back():\n"
        f"    child = subprocess.Popen([sys.executable, '-c', {CODE!r}], stdin=subprocess.PIPE)\n"
        "child.send_signal(10 if len(sys.argv) < 2 else int(sys.argv[1]))\n"
        "child.communicate()\n"
        "sys.exit(child.returncode)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(int(signal.SIGUSR1))], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"ready\n")


def test_a_handler_of_ones_own_stays() -> None:
    code = (
        "import os, signal, time; from luabus import log_signals\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('mine', flush=True))\n"
        "log_signals.survive()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code]) == b"mine\n"
