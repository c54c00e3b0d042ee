"""Whether this user may have as many open files and processes as a plan needs of the launcher."""

from __future__ import annotations

import os
import sys
from typing import Final

from launcher.errors import ConfigError, Problem
from launcher.plan.plan import Plan
from luabus import descriptors

PER_PROCESS: Final = 3
"""Two pipes and a log."""
_OWN: Final = 14
"""The launcher's own: its folder, its lock, its listeners, its log, somebody who asks."""
_OWN_PROCESSES: Final = 2
"""The launcher and its guard."""


def check_capacity(plan: Plan) -> None:
    """Raises `ConfigError` with the numbers: what is needed, and what there is."""
    if (lack := lacking(len(plan.specs), plan.config.routers.count)) is not None:
        raise ConfigError(str(plan.file), [Problem("services", lack)])


def lacking(processes: int, routers: int) -> str | None:
    """What there is too little of for so many processes, `routers` of which are routers; None when there is enough."""
    needed = _OWN + routers + PER_PROCESS * processes
    have = descriptors.most()
    if have is not None and (needed := needed + descriptors.spare(have)) > have:
        own = needed - PER_PROCESS * processes
        return (
            f"{processes} processes need {needed} open files in the launcher, {PER_PROCESS} for each and {own} for itself,"
            f" and it may have {have} (hard limit, `ulimit -Hn`); allowed: {max(0, (have - own) // PER_PROCESS)} processes"
        )
    have = _most_processes_of_this_user()
    needed = processes + _OWN_PROCESSES
    if have is not None and needed > have:
        return (
            f"{needed} processes are needed, {_OWN_PROCESSES} of them for the launcher, and this user may have {have}"
            f" (`ulimit -u`); allowed: {max(0, have - _OWN_PROCESSES)}"
        )
    return None


def _most_processes_of_this_user() -> int | None:
    """None where nothing limits them, as for root."""
    if sys.platform == "win32" or os.geteuid() == 0:
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0] if hasattr(resource, "RLIMIT_NPROC") else -1
    return soft if soft >= 0 else None
