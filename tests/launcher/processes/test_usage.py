"""CPU, memory and files of a process tree: all of it counts, nothing twice, and percentages are since the look before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from launcher.processes import process_tree, usage
from launcher.processes.usage import Counters, Member, Meter, Usage, cpu_seconds
from tests.launcher.harness import child


def member(
    pid: int, cpu_s: float = 0.0, waited_s: float = 0.0, *, parent: int = 1, rss: int = 0, threads: int = 1
) -> Member:
    return Member(pid, (pid, 1.0), parent, Counters(cpu_s, waited_s, rss, threads))


def tree(*members: Member) -> dict[tuple[int, float], Member]:
    return {one.key: one for one in members}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is one way")
def test_both_ways_to_look_agree() -> None:
    with subprocess.Popen(child("grow=30000000", "ready", "wait"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        one, other = process_tree.look()[process.pid].used, usage.count(process.pid)
        process.kill()
    assert one is not None
    assert other is not None
    assert one.rss_bytes == pytest.approx(other.rss_bytes, rel=0.1)  # the kernel keeps it by approximation
    assert one.threads == other.threads
    assert one.cpu_s == pytest.approx(other.cpu_s, abs=0.05)
    assert one.rss_bytes > 30_000_000


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert usage.count(process.pid) is None
    assert usage.open_files(process.pid) == 0
    assert Meter(list, lambda: 0.0).measure() == Usage()


def test_percent_is_of_one_core_since_the_look_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now, cpu = 90.0, 2.0
    monkeypatch.setattr(usage, "open_files", lambda pid: 3)
    meter = Meter(lambda: [member(1, cpu, rss=7), member(2, rss=5, parent=1)], lambda: now)
    now = 100.0
    assert meter.measure() == Usage(20.0, 12, 6, 2)
    now, cpu = 100.5, 9.0
    assert meter.measure().cpu_percent == 20.0  # still fresh
    now, cpu = 104.0, 4.0
    assert meter.measure().cpu_percent == 50.0


def test_one_that_ended_between_two_looks_takes_nothing_away_and_counts_once() -> None:
    before = tree(member(1, 5.0), member(2, 3.0, parent=1))
    # Its parent waited for it: of the 4 s that it used, 3 were counted.
    assert cpu_seconds(before, tree(member(1, 5.5, 4.0))) == pytest.approx(1.5)
    # Its parent ignores its children's ends, or it became somebody else's.
    assert cpu_seconds(before, tree(member(1, 5.5))) == pytest.approx(0.5)
    # It was never seen, and is known by its parent alone.
    assert cpu_seconds(tree(member(1, 5.0)), tree(member(1, 5.0, 2.0))) == pytest.approx(2.0)


def test_a_whole_branch_that_ended_counts_once() -> None:
    before = tree(member(1, 5.0), member(2, 1.0, parent=1), member(3, 3.0, parent=2))
    assert cpu_seconds(before, tree(member(1, 5.0, 4.5))) == pytest.approx(0.5)


def test_one_with_the_pid_of_an_earlier_one_is_another() -> None:
    later = Member(2, (2, 9.0), 1, Counters(0.25, 0.0, 0, 1))
    assert cpu_seconds(tree(member(1), member(2, 3.0)), tree(member(1), later)) == pytest.approx(0.25)


def test_own_memory() -> None:
    found = process_tree.look()[os.getpid()] if sys.platform.startswith("linux") else None
    counters = found.used if found is not None else usage.count(os.getpid())
    assert counters is not None
    assert counters.rss_bytes > 1_000_000
