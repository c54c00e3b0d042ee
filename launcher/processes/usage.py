"""CPU, memory and open files of processes: measured when somebody asks, never in the background."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
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
    usage: Usage | None


class Meter:
    """The usage of one process, measured when somebody asks. `clock` is monotonic seconds; make it as the process starts."""

    def __init__(self, pid: int, clock: Callable[[], float]) -> None:
        self._pid = pid
        self._clock = clock
        self._sample = _Sample(clock(), 0.0, None)

    def measure(self) -> Usage:
        """All zero when it is gone; at most FRESH_S old."""
        now, before = self._clock(), self._sample
        if before.usage is not None and now - before.at < FRESH_S:
            return before.usage
        counters = count(self._pid)
        if counters is None:
            return Usage()
        since = now - before.at
        percent = 100 * (counters.cpu_s - before.cpu_s) / since if since > 0 else 0.0
        usage = Usage(round(max(percent, 0.0), 1), counters.rss_bytes, counters.open_files, counters.threads)
        self._sample = _Sample(now, counters.cpu_s, usage)
        return usage


def count(pid: int) -> Counters | None:
    """None when the process is gone. On Linux two looks at /proc, a tenth of what psutil takes: there may be hundreds."""
    return _from_proc(pid) if sys.platform.startswith("linux") else _from_psutil(pid)


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
