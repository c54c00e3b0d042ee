"""CPU, memory and files of a process: the two ways to look agree, and percentages are since the look before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from launcher.processes import usage
from launcher.processes.usage import Counters, Meter, Usage
from tests.launcher.harness import child


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is one way")
def test_both_ways_to_look_agree() -> None:
    with subprocess.Popen(child("grow=30000000", "ready", "wait"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        one, other = usage._from_proc(process.pid), usage._from_psutil(process.pid)
        process.kill()
    assert one is not None
    assert other is not None
    assert one.rss_bytes == pytest.approx(other.rss_bytes, rel=0.1)  # the kernel keeps it by approximation
    assert (one.open_files, one.threads) == (other.open_files, other.threads)
    assert one.cpu_s == pytest.approx(other.cpu_s, abs=0.05)
    assert one.rss_bytes > 30_000_000


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert usage._from_psutil(process.pid) is None
    assert Meter(process.pid, lambda: 0.0).measure() == Usage()


def test_percent_is_of_one_core_since_the_look_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now, cpu = 90.0, 2.0
    monkeypatch.setattr(usage, "count", lambda pid: Counters(cpu, 7, 3, 1))
    meter = Meter(1, lambda: now)
    now = 100.0
    assert meter.measure() == Usage(20.0, 7, 3, 1)
    now, cpu = 100.5, 9.0
    assert meter.measure().cpu_percent == 20.0  # still fresh
    now, cpu = 104.0, 4.0
    assert meter.measure().cpu_percent == 50.0


def test_own_memory() -> None:
    assert Meter(os.getpid(), lambda: 0.0).measure().rss_bytes > 1_000_000
