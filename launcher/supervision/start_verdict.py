"""Has the cluster come up? Yes, not yet, or not all of it and why. Pure, over records.

It is decided when of each process it is known whether it is up, done, failed for good, or waits for what does not come by itself.
One that crashes or is not ready within `start_timeout` is tried again, as its restart policy says: nothing is decided by that,
until it has ended so often in a row as its `crash_limit` says, by whatever end its policy goes on after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from launcher.plan.spec import Kind
from launcher.supervision.record import InstanceRecord
from launcher.supervision.states import State
from luabus.messages import Message

NAMED: Final = 5
"""So many of those that are not ready are named."""


@dataclass(frozen=True)
class Failure:
    """A process that does not come up, and why. `at_fault`: it failed itself, and does not only wait for another; `tried`: it
    goes on being tried, and may come up yet."""

    name: str
    reason: Message
    at_fault: bool = True
    tried: bool = False
    essential: bool = False


@dataclass(frozen=True)
class Verdict:
    """`decided`: nobody is on its way any more; `failures` so far; `hopeless`: no router is left, so that nothing can be up;
    `late_after`: those that are still on their way are failures as well, after so many seconds."""

    decided: bool = False
    failures: tuple[Failure, ...] = ()
    hopeless: bool = False
    late_after: float | None = None

    @property
    def ready(self) -> bool:
        return self.decided and not self.failures

    @property
    def reason(self) -> Message:
        """All failures in a sentence, those at fault first."""
        ordered = sorted(self.failures, key=lambda failure: not failure.at_fault)
        why = _named([failure.reason for failure in ordered])
        if self.late_after is None:
            return why
        return Message("run.not-ready-after", seconds=f"{self.late_after:g}", what=why)

    def ends_the_cluster(self, abort_on_failure: bool) -> bool:
        """Whether it stops for these failures: with `abort_on_failure` for any, else for one that is late and essential. (An
        essential one that failed for good takes the cluster with it at any time.)"""
        if abort_on_failure and any(not failure.tried for failure in self.failures):
            return True
        late = self.failures if self.late_after is not None else ()
        return any(abort_on_failure or failure.essential for failure in late)

    @property
    def goes_on(self) -> bool:
        """Whether one that was told may come up yet."""
        return any(failure.tried for failure in self.failures)

    @property
    def at_fault(self) -> list[str]:
        """The processes whose logs say what went wrong."""
        return [failure.name for failure in self.failures if failure.at_fault]


def judge(instances: Iterable[InstanceRecord]) -> Verdict:
    """A process that failed for good has failed the start, and so has one that ends again and again, and one that waits for what
    does not come by itself."""
    decided, failures, routers, waiting = True, [], [], []
    for instance in instances:
        if instance.spec.kind is Kind.ROUTER:
            routers.append(instance.state)
        if _is_done(instance):
            continue
        if instance.state is State.FAILED or instance.state is State.EXITED:
            code = "run.has-failed" if instance.state is State.FAILED else "run.has-ended"
            failures.append(Failure(instance.name, _why(code, instance)))
        elif instance.stuck:
            failures.append(Failure(instance.name, _why("run.cannot-start", instance), at_fault=False))
        elif instance.looping:
            failures.append(_tried(instance))
        elif instance.waiting and not instance.returning:
            waiting.append(_tried(instance))
        else:
            decided = False
    if waiting and decided and any(failure.tried for failure in failures):
        failures += waiting  # nobody else is left for whom they could wait
    elif waiting:
        decided = False
    hopeless = bool(routers) and all(state is State.FAILED for state in routers)
    return Verdict(decided, tuple(failures), hopeless)


def out_of_time(instances: Iterable[InstanceRecord], timeout_s: float) -> Verdict:
    """The verdict on instances of which some are not ready when nobody waits any longer."""
    failures = [_tried(instance) for instance in instances if not _is_done(instance)]
    return Verdict(failures=tuple(failures), late_after=timeout_s)


def _tried(instance: InstanceRecord) -> Failure:
    reason = _why(f"run.is-{_phase(instance)}", instance)
    at_fault = not instance.waiting or instance.returning
    return Failure(instance.name, reason, at_fault, tried=True, essential=instance.spec.essential)


def _named(reasons: Sequence[Message]) -> Message:
    if len(reasons) == 1:
        return reasons[0]
    named = [*reasons[:NAMED]]
    if len(reasons) > NAMED:
        named.append(Message("run.and-more", count=len(reasons) - NAMED))
    return Message("report.all", parts=named)


def _phase(instance: InstanceRecord) -> str:
    return "waiting" if instance.waiting and not instance.returning else str(instance.state)


def _why(code: str, instance: InstanceRecord) -> Message:
    return Message(code, name=instance.name, why=instance.lacking or instance.detail or "")


def _is_done(instance: InstanceRecord) -> bool:
    return not instance.wanted or instance.ready or (instance.completed and instance.state is State.EXITED)
