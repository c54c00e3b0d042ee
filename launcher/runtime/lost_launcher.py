"""The launcher of a run_dir that is gone: nothing in it tells any more, but what the launcher started does.

Somebody removed the folder, or the link on the way to it leads elsewhere since a moment ago. Within a second the launcher
notices and writes what it keeps there anew; until then, or should it be stopped, its processes are asked.
"""

from __future__ import annotations

import os
from pathlib import Path

from launcher.errors import AlreadyRunning
from launcher.runtime.run_dir import RunDir

_LAUNCHERS = ("launcher", "luabus-cluster")
"""Names of the program."""


def find(run_dir: Path) -> int | None:
    """The pid of a launcher that lives and started processes for this run_dir; this process and its parent excepted."""
    import psutil  # only where nothing else tells: it is slow to import

    try:
        wanted = os.path.realpath(run_dir)
    except UnicodeEncodeError:  # no process of this locale can have got there
        return None
    uid = os.geteuid() if hasattr(os, "geteuid") else None
    for process in psutil.process_iter():
        try:
            if uid is not None and process.uids().effective != uid:
                continue
            variables = process.environ()
            if "LUABUS_SUPERVISED" not in variables or "LUABUS_RUN_DIR" not in variables:
                continue
            if (
                variables["LUABUS_RUN_DIR"] != str(run_dir)
                and os.path.realpath(variables["LUABUS_RUN_DIR"]) != wanted
            ):
                continue
            parent = process.parent()
            if (
                parent is not None
                and parent.pid not in (os.getpid(), os.getppid())
                and _is_one(parent.cmdline())
            ):
                return parent.pid
        except (psutil.Error, OSError):
            continue
    return None


def refuse(run_dir: RunDir) -> None:
    """Raises `AlreadyRunning` where there is one: it makes the folder anew, with what it keeps, and no other may do that."""
    if run_dir.holder() is None and (pid := find(run_dir.path)) is not None:
        raise AlreadyRunning(
            f"the launcher (pid {pid}) that runs for {run_dir.path} is alive, and its files were removed; "
            "`luabus-cluster down` stops it",
            pid,
        )


def _is_one(words: list[str]) -> bool:
    return any(os.path.basename(word) in _LAUNCHERS for word in words)
