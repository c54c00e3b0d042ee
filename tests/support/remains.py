"""What a test left behind: tasks, threads, processes, open sockets and files.

`Before()` is taken when a test starts, after the fixtures of wider scope; `left(before)` afterwards says in words what
is there that was not. Processes are found by an environment variable that every child of the test inherits, so
those count too whose parents have died.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import uuid
from pathlib import Path

import psutil

MARK = "LUABUS_TEST_MARK"

# The default executor of a loop keeps its threads until that loop is closed.
_KNOWN_THREADS = ("asyncio_", "uvloop_")

_FD_DIR = Path("/proc/self/fd") if sys.platform == "linux" else Path("/dev/fd")


class Before:
    """What there was before the test. Sets the mark for its children; `restore()` takes it away."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        os.environ[MARK] = self.mark
        self.pids = set(psutil.pids())
        self.threads = set(threading.enumerate())
        self.descriptors = _descriptors()
        try:
            self.tasks = asyncio.all_tasks()
        except RuntimeError:  # a test without a loop
            self.tasks = set()

    def restore(self) -> None:
        os.environ.pop(MARK, None)


def left(before: Before) -> list[str]:
    """One line for each thing that remains; empty when all is clean."""
    processes = [_describe(process) for process in _processes(before)]
    return [*_tasks(before), *_threads(before), *processes, *_open(before)]


def _tasks(before: Before) -> list[str]:
    try:
        now = asyncio.all_tasks() - before.tasks - {asyncio.current_task()}
    except RuntimeError:
        return []
    return [f"task {task!r}" for task in now if not task.done()]


def _threads(before: Before) -> list[str]:
    now = set(threading.enumerate()) - before.threads
    return [f"thread {thread!r}" for thread in now if not thread.name.startswith(_KNOWN_THREADS)]


def kill_left(before: Before) -> None:
    """End the processes that remain, so that one test's failure is not the next one's."""
    for process in _processes(before):
        with contextlib.suppress(psutil.Error):
            process.kill()
            process.wait(5)


def _describe(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} ({process.status()}): {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"process {process.pid}"


def _processes(before: Before) -> list[psutil.Process]:
    found = []
    for pid in set(psutil.pids()) - before.pids:
        # Gone while we looked, or another user's: neither is ours.
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            ours = process.ppid() == os.getpid()
            if not ours and process.status() != psutil.STATUS_ZOMBIE:
                ours = process.environ().get(MARK) == before.mark
            if ours:
                found.append(process)
    return found


def _descriptors() -> dict[int, str]:
    """Open sockets, pipes and files by number. An event loop's own (epoll, eventfd) and devices are left out."""
    found = {}
    for entry in os.listdir(_FD_DIR):
        with contextlib.suppress(OSError):  # the descriptor that read the folder is closed by now
            target = os.readlink(_FD_DIR / entry)
            if not target.startswith(("anon_inode:", "/dev/", "/proc/")):
                found[int(entry)] = target
    return found


def _open(before: Before) -> list[str]:
    known = set(before.descriptors.items())
    opened = {number: target for number, target in _descriptors().items() if (number, target) not in known}
    if not opened:
        return []
    sockets = {c.fd: c for c in psutil.Process().net_connections("all")}
    found = []
    for number, target in opened.items():
        connection = sockets.get(number)
        # A loop makes its pair for signals when it first needs one.
        if connection is None or connection.laddr or connection.raddr:
            found.append(f"descriptor {number}: {target} {connection or ''}".rstrip())
    return found
