"""CPU, memory and open files of process trees: measured when somebody asks, never in the background."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import psutil

FRESH_S: Final = 1.0
"""A measurement is reused for so long, however many ask."""


@dataclass(frozen=True)
class Usage:
    """Of a process and all that descends from it. `cpu_percent` is of one core, since the measurement before (or its start);
    memory that several of them share counts for each."""

    cpu_percent: float = 0.0
    rss_bytes: int = 0
    open_files: int = 0
    threads: int = 0


@dataclass(frozen=True)
class Counters:
    """What the system says of one process at this moment; seconds since its start, `waited_s` those of children that ended and
    were waited for."""

    cpu_s: float
    waited_s: float
    rss_bytes: int
    threads: int


@dataclass(frozen=True)
class Member:
    """One process of a tree; `key` tells it from a later owner of its pid."""

    pid: int
    key: tuple[int, float]
    parent: int
    used: Counters


class Meter:
    """The usage of one tree, measured when somebody asks. `look` says who is in it; `clock` is monotonic seconds. Make it as the
    process starts."""

    def __init__(self, look: Callable[[], Iterable[Member]], clock: Callable[[], float]) -> None:
        self._look = look
        self._clock = clock
        self._at = clock()
        self._before: dict[tuple[int, float], Member] = {}
        self._usage: Usage | None = None

    def measure(self) -> Usage:
        """All zero when it is gone; at most FRESH_S old."""
        now = self._clock()
        if self._usage is not None and now - self._at < FRESH_S:
            return self._usage
        members = {member.key: member for member in self._look()}
        if not members:
            return Usage()
        since = now - self._at
        used_s = cpu_seconds(self._before, members)
        self._usage = Usage(
            round(100 * used_s / since, 1) if since > 0 else 0.0,
            sum(member.used.rss_bytes for member in members.values()),
            sum(open_files(member.pid) for member in members.values()),
            sum(member.used.threads for member in members.values()),
        )
        self._at, self._before = now, members
        return self._usage


def cpu_seconds(before: Mapping[tuple[int, float], Member], now: Mapping[tuple[int, float], Member]) -> float:
    """What a tree has used between two looks. Of those that ended meanwhile, what their parents waited for counts, less what was
    counted when they still lived."""
    ended = {member.pid: member for key, member in before.items() if key not in now}
    known_of_ended: dict[int, float] = {}
    for member in ended.values():
        heir = member.parent
        for _ in ended:
            if heir in ended:  # whose parent has waited for what it had waited for
                heir = ended[heir].parent
        known = member.used.cpu_s + member.used.waited_s
        known_of_ended[heir] = known_of_ended.get(heir, 0.0) + known
    total = 0.0
    for key, member in now.items():
        earlier = before[key].used if key in before else Counters(0.0, 0.0, 0, 0)
        waited = member.used.waited_s - earlier.waited_s - known_of_ended.get(member.pid, 0.0)
        total += max(0.0, member.used.cpu_s - earlier.cpu_s) + max(0.0, waited)
    return total


def count(pid: int) -> Counters | None:
    """Of one process, where a look at all does not tell; None when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Counters(times.user + times.system, 0.0, process.memory_info().rss, process.num_threads())
    except psutil.Error:
        return None


def open_files(pid: int) -> int:
    """0 where it is gone, or another user's."""
    try:
        if os.path.isdir("/proc/self/fd"):
            return len(os.listdir(f"/proc/{pid}/fd"))
        process = psutil.Process(pid)
        return process.num_fds() if psutil.POSIX else len(process.open_files())
    except (psutil.Error, OSError):
        return 0
