"""Whose a record in run_dir is: that of this folder, and of a launcher that is told from a later owner of its pid.

A folder is copied with all that lies in it, pids are given out again, and files outlive who wrote them. So each record carries
the folder it was written into (device and inode) and, beside the pid of the launcher, when that started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def signature(folder: Path) -> dict[str, Any]:
    """What this process writes into each record of `folder`. Raises OSError."""
    return {"pid": os.getpid(), "started": process_mark(os.getpid()), "folder": folder_mark(folder)}


def is_of(record: Mapping[str, Any], folder: Path) -> bool:
    """Whether the record was written into this very folder: in a copy of it, nothing is meant.

    One that does not say is of a version that did not write it, and meant where it lies.
    """
    try:
        return bool("folder" not in record or record["folder"] == folder_mark(folder))
    except OSError:
        return False


def folder_mark(folder: Path) -> list[int]:
    """What no other folder of this machine has. Raises OSError."""
    found = folder.stat()
    return [found.st_dev, found.st_ino]


def process_mark(pid: int) -> str:
    """What tells the process that has this pid now from all others that ever had it; empty when there is none."""
    if not sys.platform.startswith("linux"):
        import psutil

        try:
            return f"{psutil.Process(pid).create_time()}"
        except psutil.Error:
            return ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        # pid (comm) state ... starttime is field 22; comm may hold spaces and parentheses.
        fields = text[text.rindex(b")") + 2 :].split()
        if fields[0] in (b"Z", b"X"):
            return ""
        return f"{_boot()} {_namespace()} {fields[19].decode()}"
    except (OSError, ValueError, IndexError):
        return ""


def lives(pid: int, mark: str) -> bool | None:
    """Whether the process that had this pid and mark still lives.

    None when that cannot be seen from here: there is no mark, or its pid is one of another container.
    """
    if not mark or (mark.count(" ") == 2 and mark.split(" ")[1] != _namespace()):
        return None
    return process_mark(pid) == mark


def stands_still(pid: int) -> bool:
    """Whether it is stopped (Ctrl-Z, SIGSTOP, a debugger)."""
    try:
        if not sys.platform.startswith("linux"):
            import psutil

            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        return text[text.rindex(b")") + 2 :][:1] in (b"T", b"t")
    except Exception:  # it is gone
        return False


def _boot() -> str:
    """Which start of the machine this is; pids and ticks begin anew with each."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "-"


def _namespace() -> str:
    """Of which container pids are."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "-"
