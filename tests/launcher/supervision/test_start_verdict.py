"""Has the cluster come up? Asked of records in the states a test puts them in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy
from launcher.supervision.record import InstanceRecord
from launcher.supervision.start_verdict import Verdict, judge, out_of_time
from launcher.supervision.states import State
from luabus.messages import Message


def instance(state: State, name: str = "x.1", kind: Kind = Kind.SERVICE, **more: Any) -> InstanceRecord:
    spec = ProcessSpec(name, "x", kind, (), {}, "/", LifecycleSettings(), ReadyBy.PROBE)
    why = Message.verbatim("why")
    return InstanceRecord(spec, state, why, ready=state is State.RUNNING, **more)


def router(state: State) -> InstanceRecord:
    return instance(state, "router.1", Kind.ROUTER)


def test_all_ready_or_done() -> None:
    verdict = judge(
        [
            instance(State.RUNNING),
            instance(State.EXITED, completed=True),
            instance(State.EXITED, wanted=False),
        ]
    )
    assert (verdict, verdict.ready) == (Verdict(decided=True), True)


def test_one_that_failed_or_ended_is_told_when_all_is_decided() -> None:
    failed = judge([instance(State.FAILED), instance(State.RUNNING, name="y.1")])
    assert (failed.decided, failed.at_fault, str(failed.reason)) == (True, ["x.1"], "x.1 has failed: why")
    assert str(judge([instance(State.EXITED)]).reason) == "x.1 has ended: why"
    coming = judge([instance(State.FAILED), instance(State.BACKOFF, name="y.1")])
    assert (coming.decided, coming.at_fault) == (False, ["x.1"])


def test_what_its_policy_tries_again_is_waited_for() -> None:
    assert judge([instance(State.STARTING), instance(State.BACKOFF), instance(State.STOPPING)]) == Verdict()


def test_one_that_waits_for_what_does_not_come_is_a_failure_by_another_s_fault() -> None:
    waits = instance(State.STARTING, name="a.1", waiting=True, stuck=True)
    verdict = judge([waits, instance(State.FAILED)])
    assert (verdict.decided, verdict.at_fault) == (True, ["x.1"])
    assert str(verdict.reason) == "x.1 has failed: why; a.1 cannot start: why"


def test_without_any_router_there_is_no_hope() -> None:
    assert judge([router(State.FAILED), instance(State.STARTING, stuck=True)]).hopeless
    assert not judge([router(State.FAILED), router(State.RUNNING)]).hopeless
    assert not judge([router(State.BACKOFF)]).hopeless


def test_out_of_time_names_those_that_are_late() -> None:
    late = [instance(State.STARTING, waiting=True), instance(State.BACKOFF, name="y.1")]
    verdict = out_of_time([instance(State.RUNNING, name="z.1"), *late], 5.0)
    reason = "not ready after 5 s: y.1 waits to be restarted: why; x.1 why"
    assert (verdict.at_fault, str(verdict.reason)) == (["y.1"], reason)
    many = out_of_time([instance(State.STARTING, name=f"x.{n}") for n in range(1, 9)], 5.0)
    assert (many.at_fault[0], str(many.reason)[-34:]) == ("x.1", "; x.5 is starting: why; and 3 more"[-34:])


@pytest.mark.parametrize(("abort", "essential"), [(False, False), (False, True), (True, False)])
def test_being_late_ends_the_cluster_only_where_that_was_asked_for(abort: bool, essential: bool) -> None:
    late = instance(State.BACKOFF)
    late = replace(late, spec=replace(late.spec, essential=essential))
    assert out_of_time([late], 5.0).ends_the_cluster(abort) == (abort or essential)
    assert judge([late, instance(State.FAILED, name="y.1")]).ends_the_cluster(abort) == abort


def test_what_ends_again_and_again_is_not_waited_for_and_neither_is_who_waits_for_it() -> None:
    loop = instance(State.BACKOFF, completed=True, looping=True)
    waits = instance(State.STARTING, name="y.1", waiting=True)
    verdict = judge([loop, waits])
    assert (verdict.decided, verdict.goes_on, verdict.ends_the_cluster(True)) == (True, True, False)
    assert (verdict.at_fault, [failure.name for failure in verdict.failures]) == (["x.1"], ["x.1", "y.1"])
    assert not judge([loop, waits, instance(State.STARTING, name="z.1")]).decided
    assert not judge([instance(State.FAILED), waits]).decided
