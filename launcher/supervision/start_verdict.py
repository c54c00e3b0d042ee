"""Has the cluster come up? Yes, not yet, or no and why. Pure, over records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from launcher.supervision.record import InstanceRecord
from launcher.supervision.states import State
from luabus.messages import Message

NAMED: Final = 5
"""So many of those that are not ready are named."""


@dataclass(frozen=True)
class Verdict:
    """`ready`, or `failed` (a process' name) with the reason, or neither: ask again at the next change."""

    ready: bool = False
    failed: str = ""
    reason: Message | None = None


def judge(instances: Iterable[InstanceRecord]) -> Verdict:
    """A process that failed for good fails the start, and so does one that waits for what does not come by itself.

    One that crashes or is not ready within `start_timeout` is tried again, as its restart policy says.
    """
    ready = True
    for instance in instances:
        if _is_done(instance):
            continue
        if instance.state is State.FAILED or instance.state is State.EXITED:
            code = "run.has-failed" if instance.state is State.FAILED else "run.has-ended"
            return Verdict(failed=instance.name, reason=_why(code, instance))
        if instance.stuck:
            return Verdict(failed=instance.name, reason=_why("run.cannot-start", instance))
        ready = False
    return Verdict(ready=ready)


def out_of_time(instances: Iterable[InstanceRecord], timeout_s: float) -> Verdict:
    """The verdict on instances of which some are not ready when nobody waits any longer."""
    late = [instance for instance in instances if not _is_done(instance)]
    named = [_why("run.is", instance) for instance in late[:NAMED]]
    if len(late) > NAMED:
        named.append(Message("run.and-more", count=len(late) - NAMED))
    first = next((instance for instance in late if not instance.waiting), late[0])
    return Verdict(
        failed=first.name, reason=Message("run.not-ready-after", seconds=f"{timeout_s:g}", what=named)
    )


def _why(code: str, instance: InstanceRecord) -> Message:
    state = Message(f"state.{instance.state}")
    return Message(code, name=instance.name, state=state, why=instance.detail or "")


def _is_done(instance: InstanceRecord) -> bool:
    if not instance.wanted or instance.ready:
        return True
    # A command that did its work and ended.
    return instance.state is State.EXITED and not instance.spec.daemon
