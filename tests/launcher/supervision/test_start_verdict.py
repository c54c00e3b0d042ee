"""Has the cluster come up? Asked of records in the states a test puts them in."""

from __future__ import annotations

from typing import Any

from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy
from launcher.supervision.record import InstanceRecord
from launcher.supervision.start_verdict import Verdict, judge, out_of_time
from launcher.supervision.states import State


def instance(state: State, name: str = "x.1", must: bool = True, **more: Any) -> InstanceRecord:
    rules = LifecycleSettings(must_report_ready=must)
    kind, ready_by = (Kind.SERVICE, ReadyBy.PROBE) if must else (Kind.COMMAND, ReadyBy.SPAWN)
    spec = ProcessSpec(name, "x", kind, (), {}, "/", rules, ready_by)
    return InstanceRecord(spec, state, "why", ready=state is State.RUNNING, **more)


def test_all_ready() -> None:
    assert judge(
        [instance(State.RUNNING), instance(State.EXITED, must=False), instance(State.EXITED, wanted=False)]
    ) == Verdict(ready=True)


def test_one_that_failed_or_ended_is_the_end() -> None:
    failed = judge([instance(State.FAILED)])
    assert (failed.failed, str(failed.reason)) == ("x.1", "x.1 has failed: why")
    assert str(judge([instance(State.EXITED)]).reason) == "x.1 has ended: why"


def test_what_its_policy_tries_again_is_waited_for() -> None:
    assert judge([instance(State.STARTING), instance(State.BACKOFF), instance(State.STOPPING)]) == Verdict()


def test_one_that_waits_for_what_does_not_come_is_the_end() -> None:
    verdict = judge([instance(State.STARTING), instance(State.STARTING, name="y.1", stuck=True)])
    assert (verdict.failed, str(verdict.reason)) == ("y.1", "y.1 cannot start: why")


def test_out_of_time_names_those_that_are_late() -> None:
    late = [instance(State.STARTING, waiting=True), instance(State.BACKOFF, name="y.1")]
    verdict = out_of_time([instance(State.RUNNING, name="z.1"), *late], 5.0)
    reason = "not ready after 5 s: x.1 is starting: why; y.1 is backoff: why"
    assert (verdict.failed, str(verdict.reason)) == ("y.1", reason)
    many = out_of_time([instance(State.STARTING, waiting=True, name=f"x.{n}") for n in range(1, 9)], 5.0)
    assert (many.failed, str(many.reason)[-25:]) == ("x.1", "x.5 is starting: why; and 3 more"[-25:])
