"""Has the cluster come up? A pure look at its units: yes, not yet, or no and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from launcher.states import State
from launcher.unit import Unit

NAMED: Final = 5
"""So many of those that are not ready are named."""


@dataclass(frozen=True)
class Verdict:
    """`ready`, or `failed` (a process' name) with the reason, or neither: ask again at the next change."""

    ready: bool = False
    failed: str = ""
    reason: str = ""


def judge(units: Iterable[Unit]) -> Verdict:
    """A process that failed for good fails the start, and so does one that waits for what does not come by itself.

    One that crashes or is not ready within `start_timeout` is tried again, as its restart policy says.
    """
    ready = True
    for unit in units:
        if _is_done(unit):
            continue
        if unit.state is State.FAILED or unit.state is State.EXITED:
            has = "failed" if unit.state is State.FAILED else "ended"
            return Verdict(failed=unit.name, reason=f"{unit.name} has {has}: {unit.machine.detail}")
        if unit.stuck:
            return Verdict(failed=unit.name, reason=f"{unit.name} cannot start: {unit.machine.detail}")
        ready = False
    return Verdict(ready=ready)


def out_of_time(units: Iterable[Unit], timeout_s: float) -> Verdict:
    """The verdict on units of which some are not ready when nobody waits any longer."""
    late = [unit for unit in units if not _is_done(unit)]
    named = "; ".join(f"{unit.name} is {unit.state}: {unit.machine.detail}" for unit in late[:NAMED])
    more = f"; and {len(late) - NAMED} more" if len(late) > NAMED else ""
    first = next((unit for unit in late if not unit.machine.waiting), late[0])
    return Verdict(failed=first.name, reason=f"not ready after {timeout_s:g} s: {named}{more}")


def _is_done(unit: Unit) -> bool:
    if not unit.machine.wanted or unit.ready:
        return True
    # A command that did its work and ended.
    return unit.state is State.EXITED and not unit.spec.rules.must_report_ready
