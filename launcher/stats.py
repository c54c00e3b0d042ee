"""CPU, memory and open files of processes: measured when somebody asks, never in the background."""

from __future__ import annotations

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


@dataclass
class _Sample:
    process: psutil.Process
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
        try:
            process = sample.process if sample is not None else psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                rss = process.memory_info().rss
                files = process.num_fds() if psutil.POSIX else len(process.open_files())
                threads = process.num_threads()
        except psutil.Error:
            self._samples.pop(pid, None)
            return Usage()
        spent = times.user + times.system
        before, since = (sample.cpu_s, now - sample.at) if sample is not None else (0.0, uptime_s)
        percent = 100 * (spent - before) / since if since > 0 else 0.0
        usage = Usage(round(max(percent, 0.0), 1), rss, files, threads)
        self._samples[pid] = _Sample(process, now, spent, usage)
        return usage

    def keep(self, pids: Collection[int]) -> None:
        """Forgets all others."""
        for pid in self._samples.keys() - set(pids):
            del self._samples[pid]


def rss_of(pid: int) -> int:
    """Resident memory in bytes; 0 when the process is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
