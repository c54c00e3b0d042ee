"""Has the cluster come up? A pure look at its units: yes, not yet (until when), or no and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from launcher.states import State
from launcher.unit import Unit


@dataclass(frozen=True)
class Verdict:
    """`ready`, or `failed` (a process' name) with the reason, or neither and `ask_again_at` (None: at the next change)."""

    ready: bool = False
    failed: str = ""
    reason: str = ""
    ask_again_at: float | None = None


def judge(units: Iterable[Unit], now: float) -> Verdict:
    """A process that failed for good, or is not ready `start_timeout` after it was first started, fails the start."""
    pending: list[float] = []
    ready = True
    for unit in units:
        if not unit.machine.wanted or unit.ready:
            continue
        if unit.state is State.EXITED and not unit.spec.rules.must_report_ready:
            continue  # a command that did its work and ended
        if unit.state is State.FAILED or unit.state is State.EXITED:
            return Verdict(failed=unit.name, reason=f"{unit.name} has {_has(unit)}: {unit.machine.detail}")
        ready = False
        if unit.first_spawned_at is None:
            continue
        deadline = unit.first_spawned_at + unit.spec.rules.start_timeout
        if now >= deadline:
            patience = f"{unit.spec.rules.start_timeout:g} s"
            return Verdict(
                failed=unit.name,
                reason=f"{unit.name} is not ready after {patience} ({unit.state}: {unit.machine.detail})",
            )
        pending.append(deadline)
    return Verdict(ready=ready, ask_again_at=min(pending, default=None))


def _has(unit: Unit) -> str:
    return "failed" if unit.state is State.FAILED else "ended"
