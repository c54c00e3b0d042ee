"""Has the cluster come up? Yes, not yet, or no and why. Pure, over records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from launcher.supervision.record import InstanceRecord
from launcher.supervision.states import State

NAMED: Final = 5
"""So many of those that are not ready are named."""


@dataclass(frozen=True)
class Verdict:
    """`ready`, or `failed` (a process' name) with the reason, or neither: ask again at the next change."""

    ready: bool = False
    failed: str = ""
    reason: str = ""


def judge(instances: Iterable[InstanceRecord]) -> Verdict:
    """A process that failed for good fails the start, and so does one that waits for what does not come by itself.

    One that crashes or is not ready within `start_timeout` is tried again, as its restart policy says.
    """
    ready = True
    for instance in instances:
        if _is_done(instance):
            continue
        if instance.state is State.FAILED or instance.state is State.EXITED:
            has = "failed" if instance.state is State.FAILED else "ended"
            return Verdict(failed=instance.name, reason=f"{instance.name} has {has}: {instance.detail}")
        if instance.stuck:
            return Verdict(failed=instance.name, reason=f"{instance.name} cannot start: {instance.detail}")
        ready = False
    return Verdict(ready=ready)


def out_of_time(instances: Iterable[InstanceRecord], timeout_s: float) -> Verdict:
    """The verdict on instances of which some are not ready when nobody waits any longer."""
    late = [instance for instance in instances if not _is_done(instance)]
    named = "; ".join(f"{instance.name} is {instance.state}: {instance.detail}" for instance in late[:NAMED])
    more = f"; and {len(late) - NAMED} more" if len(late) > NAMED else ""
    first = next((instance for instance in late if not instance.waiting), late[0])
    return Verdict(failed=first.name, reason=f"not ready after {timeout_s:g} s: {named}{more}")


def _is_done(instance: InstanceRecord) -> bool:
    if not instance.wanted or instance.ready:
        return True
    # A command that did its work and ended.
    return instance.state is State.EXITED and not instance.spec.daemon
