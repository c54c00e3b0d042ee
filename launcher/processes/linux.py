"""The few Linux system calls that Python does not wrap. Elsewhere each says that it could not."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform.startswith("linux")

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

# Loaded now: between fork and exec nothing should be.
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def become_subreaper() -> bool:
    """Orphans below this process become its children instead of init's. False where there is no such thing."""
    return _libc is not None and _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def die_with(parent: int) -> None:
    """In a forked child: SIGKILL when `parent` (its parent) dies; ends at once if that happened already."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def direct_children() -> set[int] | None:
    """The pids of this process' children, zombies included; None when the system does not tell in one read."""
    if not LINUX:
        return None
    children: set[int] = set()
    try:
        for task in os.listdir("/proc/self/task"):
            children.update(map(int, Path(f"/proc/self/task/{task}/children").read_bytes().split()))
    except OSError:
        return None
    return children
