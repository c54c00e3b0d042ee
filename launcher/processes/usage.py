"""CPU, memory and open files of processes: measured when somebody asks, never in the background."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import psutil

FRESH_S: Final = 1.0
"""A measurement is reused for so long, however many ask."""


@dataclass(frozen=True)
class Usage:
    """Of one process, without its children. `cpu_percent` is of one core, since the measurement before (or its start)."""

    cpu_percent: float = 0.0
    rss_bytes: int = 0
    open_files: int = 0
    threads: int = 0


@dataclass(frozen=True)
class Counters:
    """What the system says of a process at this moment; `cpu_s` since its start."""

    cpu_s: float
    rss_bytes: int
    open_files: int
    threads: int


@dataclass
class _Sample:
    at: float
    cpu_s: float
    usage: Usage


class Meter:
    """Usage by pid. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: dict[int, _Sample] = {}

    def measure(self, pid: int, uptime_s: float) -> Usage:
        """The usage of `pid`, which has run for `uptime_s`; all zero when it is gone."""
        now = self._clock()
        sample = self._samples.get(pid)
        if sample is not None and now - sample.at < FRESH_S:
            return sample.usage
        found = count(pid)
        if found is None:
            self._samples.pop(pid, None)
            return Usage()
        before, since = (sample.cpu_s, now - sample.at) if sample is not None else (0.0, uptime_s)
        percent = 100 * (found.cpu_s - before) / since if since > 0 else 0.0
        usage = Usage(round(max(percent, 0.0), 1), found.rss_bytes, found.open_files, found.threads)
        self._samples[pid] = _Sample(now, found.cpu_s, usage)
        return usage

    def keep(self, pids: Collection[int]) -> None:
        """Forgets all others."""
        for pid in self._samples.keys() - set(pids):
            del self._samples[pid]


def count(pid: int) -> Counters | None:
    """None when the process is gone. On Linux two looks at /proc, a tenth of what psutil takes: there may be hundreds."""
    return _from_proc(pid) if sys.platform.startswith("linux") else _from_psutil(pid)


def rss_of(pid: int) -> int:
    """Resident memory in bytes; 0 when the process is gone."""
    found = count(pid)
    return 0 if found is None else found.rss_bytes


def _from_proc(pid: int) -> Counters | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # pid (comm) state ...: user and system time are fields 14 and 15, threads 20, resident pages 24.
    fields = text[text.rindex(b")") + 2 :].split()
    try:
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        files = 0  # another user's
    ticks = int(fields[11]) + int(fields[12])
    pages = int(fields[21])
    return Counters(
        ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"), files, int(fields[17])
    )


def _from_psutil(pid: int) -> Counters | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            files = process.num_fds() if psutil.POSIX else len(process.open_files())
            return Counters(
                times.user + times.system, process.memory_info().rss, files, process.num_threads()
            )
    except psutil.Error:
        return None
