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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from launcher.processes import process_tag

MARKER = "LUABUS_SUPERVISED"

LOOK_FRESH_S: Final = 0.05
_LOOK_AGAIN_S: Final = 0.01


@dataclass(frozen=True)
class ProcessInfo:
    """One process, as one look at the system saw it. `started` tells a pid's present owner from an earlier one."""

    pid: int
    parent: int
    group: int
    session: int
    started: float
    zombie: bool


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


class ProcessTable:
    """Looks at the system that many share: a hundred process trees that end together would each look many times a second.

    An old look is no danger to one that waits for a tree to be gone: who is in none of its looks has no member that could
    make new ones.
    """

    def __init__(self) -> None:
        self._at = float("-inf")
        self._everyone: dict[int, ProcessInfo] = {}
        self._marks: dict[ProcessInfo, Marks] = {}

    def everyone(self, *, fresh: bool = False) -> dict[int, ProcessInfo]:
        """As `look`, at most LOOK_FRESH_S old."""
        if fresh or time.monotonic() - self._at >= LOOK_FRESH_S:
            self._everyone = look()
            self._at = time.monotonic()
            there = set(self._everyone.values())
            self._marks = {info: marks for info, marks in self._marks.items() if info in there}
        return self._everyone

    def marks_of(self, info: ProcessInfo) -> Marks:
        """As the function, read once per process and parent."""
        if info not in self._marks:
            self._marks[info] = marks_of(info.pid)
        return self._marks[info]


def members(
    everyone: dict[int, ProcessInfo],
    root: int,
    started: float | None,
    marker: str | None = None,
    adopter: int | None = None,
    read_marks: Callable[[ProcessInfo], Marks] | None = None,
) -> set[int]:
    """The living tree of the process `root` that started at `started`, itself included; no zombies.

    Should the pid belong to another process by now, then nothing of that one's is ours. `marker` is looked for in processes
    whose parent is `adopter` (the launcher: it adopts orphans), and in none otherwise, because reading the marks of every
    process costs.
    """
    children: dict[int, list[int]] = {}
    for info in everyone.values():
        children.setdefault(info.parent, []).append(info.pid)
    tree: set[int] = set()
    present = everyone.get(root)
    reused = present is not None and started is not None and present.started != started
    fresh = [] if reused else [r.pid for r in everyone.values() if root in (r.pid, r.group, r.session)]
    if marker is not None and adopter is not None:
        read = read_marks or (lambda info: marks_of(info.pid))
        wanted = Marks(marker, process_tag.number(marker))
        fresh += [pid for pid in children.get(adopter, ()) if read(everyone[pid]).shares(wanted)]
    while fresh:
        pid = fresh.pop()
        if pid not in tree:
            tree.add(pid)
            fresh += children.get(pid, ())
    return {pid for pid in tree if not everyone[pid].zombie}


def descendants(everyone: dict[int, ProcessInfo], root: int) -> set[int]:
    """All below `root`, without itself and without zombies."""
    children: dict[int, list[int]] = {}
    for info in everyone.values():
        children.setdefault(info.parent, []).append(info.pid)
    tree: set[int] = set()
    fresh = list(children.get(root, ()))
    while fresh:
        pid = fresh.pop()
        if pid not in tree:
            tree.add(pid)
            fresh += children.get(pid, ())
    return {pid for pid in tree if not everyone[pid].zombie}


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
    # pid (comm) state ppid pgrp session ... starttime is field 22; comm may hold spaces and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    state, parent, group, session, started = fields[0], fields[1], fields[2], fields[3], fields[19]
    return ProcessInfo(
        int(name), int(parent), int(group), int(session), float(started), state in (b"Z", b"X")
    )


def _ask(call: str, pid: int) -> int:
    ask = getattr(os, call, None)
    try:
        return int(ask(pid)) if ask is not None else -1
    except OSError:
        return -1
