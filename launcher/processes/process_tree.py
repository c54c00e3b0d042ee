"""Who belongs to a supervised process: its group, its session, its descendants, and those which got away from all three.

A process that double-forks and makes a session of its own is no longer in the group, nor below its parent. On Linux it
becomes a child of the launcher (a sub-reaper), and two things tell whose it was: the tag (`process_tag.py`), which it cannot lose
by accident, and the environment it was started with, in that a marker: `LUABUS_SUPERVISED=<run>/<name>`, where <run> is
unique per launcher. Elsewhere there is the marker alone, and what cleans its environment is not found.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from launcher.processes import process_tag
from launcher.processes.usage import Counters

MARKER = "LUABUS_SUPERVISED"

LOOK_FRESH_S: Final = 0.05
_LOOK_AGAIN_S: Final = 0.01
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 1
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1


@dataclass(frozen=True)
class ProcessInfo:
    """One process, as one look at the system saw it. `started` tells a pid's present owner from an earlier one."""

    pid: int
    parent: int
    group: int
    session: int
    started: float
    zombie: bool
    used: Counters | None = field(default=None, compare=False)
    """What it has used so far, where that is read with the rest."""


@dataclass(frozen=True)
class Marks:
    """What a process carries of whoever started it: the marker in its environment, and its tag."""

    marker: str | None = None
    tag: int | None = None

    def shares(self, other: Marks) -> bool:
        """Whether both were started, directly or not, by the same supervised process."""
        return (self.marker is not None and self.marker == other.marker) or (
            self.tag is not None and self.tag == other.tag
        )

    def of_run(self, run: str) -> bool:
        """Whether it was started, directly or not, by the launcher with this run id."""
        if self.tag is not None and process_tag.is_of(self.tag, run):
            return True
        return (self.marker or "").partition("/")[0] == run


def look() -> dict[int, ProcessInfo]:
    """Every process of the system. On Linux one read per process; elsewhere through psutil."""
    if sys.platform.startswith("linux"):
        return {info.pid: info for info in map(_from_proc, os.listdir("/proc")) if info is not None}
    everyone: dict[int, ProcessInfo] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            pid = process.pid
            everyone[pid] = ProcessInfo(
                pid,
                process.ppid(),
                _ask("getpgid", pid),
                _ask("getsid", pid),
                process.create_time(),
                process.status() == psutil.STATUS_ZOMBIE,
            )
    return everyone


class Kinship:
    """One look at the system, put in order once for all who look for their tree in it."""

    def __init__(self, everyone: Mapping[int, ProcessInfo]) -> None:
        self.everyone = everyone
        self._related: dict[tuple[str, int], list[int]] = {}
        for pid, info in everyone.items():
            for relation, number in (
                ("child", info.parent),
                ("group", info.group),
                ("session", info.session),
            ):
                self._related.setdefault((relation, number), []).append(pid)

    def children(self, pid: int) -> Sequence[int]:
        """Of whom it is the parent."""
        return self._related.get(("child", pid), ())

    def together(self, leader: int) -> set[int]:
        """The process `leader`, its group and its session."""
        related = self._related
        itself = (leader,) if leader in self.everyone else ()
        return {*itself, *related.get(("group", leader), ()), *related.get(("session", leader), ())}

    def below(self, roots: Iterable[int]) -> set[int]:
        """These and all that descends from them."""
        tree: set[int] = set()
        fresh = list(roots)
        while fresh:
            pid = fresh.pop()
            if pid not in tree:
                tree.add(pid)
                fresh += self.children(pid)
        return tree

    def living(self, pids: Iterable[int]) -> set[int]:
        """Without zombies."""
        return {pid for pid in pids if not self.everyone[pid].zombie}


class ProcessTable:
    """Looks at the system that many share: a hundred process trees that end together would each look many times a second.

    An old look is no danger to one that waits for a tree to be gone: who is in none of its looks has no member that could
    make new ones.
    """

    def __init__(self) -> None:
        self._at = float("-inf")
        self._kinship = Kinship({})
        self._adopted: list[int] | None = None
        self._marks: dict[ProcessInfo, Marks] = {}

    def kinship(self, most_s: float = LOOK_FRESH_S) -> Kinship:
        """A look that is at most so old. Raises OSError when nobody can look now."""
        if time.monotonic() - self._at >= most_s:
            self._kinship = Kinship(look())
            self._adopted = None
            self._at = time.monotonic()
            there = set(self._kinship.everyone.values())
            self._marks = {info: marks for info, marks in self._marks.items() if info in there}
        return self._kinship

    def adopted(self, own: Collection[int]) -> Sequence[int]:
        """Of the last look: children of this process that are not its `own`."""
        if self._adopted is None:
            self._adopted = [pid for pid in self._kinship.children(os.getpid()) if pid not in own]
        return self._adopted

    def marks_of(self, info: ProcessInfo) -> Marks:
        """As the function, read once per process and parent."""
        if info not in self._marks:
            self._marks[info] = marks_of(info.pid)
        return self._marks[info]


def members(
    kin: Kinship,
    root: int,
    started: float | None,
    marker: str | None = None,
    adopted: Iterable[int] = (),
    read_marks: Callable[[ProcessInfo], Marks] | None = None,
) -> set[int]:
    """The tree of the process `root` that started at `started`, itself and zombies included.

    Should the pid belong to another process by now, then nothing of that one's is ours. `marker` is looked for in the processes
    `adopted` (orphans, whose parent is the launcher by now), and in none otherwise, because reading the marks of every process
    costs.
    """
    present = kin.everyone.get(root)
    reused = present is not None and started is not None and present.started != started
    roots = set() if reused else kin.together(root)
    if marker is not None:
        read = read_marks or (lambda info: marks_of(info.pid))
        wanted = Marks(marker, process_tag.number(marker))
        roots |= {pid for pid in adopted if pid in kin.everyone and read(kin.everyone[pid]).shares(wanted)}
    return kin.below(roots)


def descendants(everyone: Mapping[int, ProcessInfo], root: int) -> set[int]:
    """All below `root`, without itself and without zombies."""
    kin = Kinship(everyone)
    return kin.living(kin.below(kin.children(root)))


def marked(run: str) -> set[int]:
    """Every living process that a launcher with this run id started, directly or not."""
    pids: set[int] = set()
    for pid, info in look().items():
        if not info.zombie and marks_of(pid).of_run(run):
            pids.add(pid)
    return pids


def marks_of(pid: int) -> Marks:
    """What a process carries."""
    return Marks(marker_of(pid), process_tag.of(pid))


def marker_of(pid: int) -> str | None:
    """The marker in a process' environment, None if there is none or it may not be read."""
    try:
        if sys.platform.startswith("linux"):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            start = b"\0" + environment
            _, separator, rest = start.partition(f"\0{MARKER}=".encode())
            return rest.partition(b"\0")[0].decode("utf-8", "replace") if separator else None
        return psutil.Process(pid).environ().get(MARKER)
    except (OSError, psutil.Error):
        return None


def started_at(pid: int) -> float | None:
    """When a process started, in the system's own unit: only for comparing. None when it is gone."""
    if sys.platform.startswith("linux"):
        info = _from_proc(str(pid))
        return None if info is None else info.started
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def send(pids: Iterable[int], number: int) -> None:
    """Signals each; those that are gone meanwhile do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


async def end(find: Callable[[], set[int]], within_s: float) -> set[int]:
    """SIGKILL to all that `find` names, again until it names none; returns those that remain after `within_s` seconds: another
    user's, or held by the kernel."""
    deadline = time.monotonic() + within_s
    while (remaining := find()) and time.monotonic() < deadline:
        send(remaining, KILL)
        await asyncio.sleep(_LOOK_AGAIN_S)  # nothing tells when somebody else's child is gone
    return remaining


KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Windows has no SIGKILL; there SIGTERM cannot be caught either."""


def _from_proc(name: str) -> ProcessInfo | None:
    if not name.isdigit():
        return None
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # pid (comm) state ppid pgrp session ...; comm may hold spaces and parentheses. Fields 14 to 17 are the time used, its own and
    # that of children it waited for; 20 its threads, 22 when it started, 24 its pages in memory.
    fields = text[text.rindex(b")") + 2 :].split()
    state, parent, group, session, started = fields[0], fields[1], fields[2], fields[3], fields[19]
    user, system, user_of_ended, system_of_ended = map(int, fields[11:15])
    used = Counters(
        (user + system) / _TICKS_PER_S,
        (user_of_ended + system_of_ended) / _TICKS_PER_S,
        int(fields[21]) * _PAGE_BYTES,
        int(fields[17]),
    )
    return ProcessInfo(
        int(name), int(parent), int(group), int(session), float(started), state in (b"Z", b"X"), used
    )


def _ask(call: str, pid: int) -> int:
    ask = getattr(os, call, None)
    try:
        return int(ask(pid)) if ask is not None else -1
    except OSError:
        return -1
