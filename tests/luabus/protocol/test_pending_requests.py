"""Named histories in a time that only the test moves."""

from __future__ import annotations

import math
import sys

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luabus.limits import CALL_TICK_S
from luabus.protocol.pending_requests import PendingCalls


def test_an_answered_call_is_out_and_its_time_out_does_not_come() -> None:
    calls: PendingCalls[str] = PendingCalls()
    sequence = calls.add("alice", 5.0)
    assert calls.settle(sequence) == "alice"
    assert calls.settle(sequence) is None
    assert calls.expire(100.0) == []
    assert len(calls) == 0


def test_a_call_expires_at_its_deadline_and_not_before() -> None:
    calls: PendingCalls[str] = PendingCalls()
    sequence = calls.add("alice", 5.0)
    assert calls.expire(4.999) == []
    assert calls.expire(5.0) == [(sequence, "alice")]
    assert calls.settle(sequence) is None


def test_a_time_out_is_late_by_less_than_a_tick() -> None:
    calls: PendingCalls[str] = PendingCalls()
    sequence = calls.add("alice", 5.0 + CALL_TICK_S / 3)
    assert calls.expire(5.0 + CALL_TICK_S / 3) == []
    assert calls.expire(5.0 + CALL_TICK_S) == [(sequence, "alice")]


def test_the_next_deadline_is_the_earliest_one() -> None:
    calls: PendingCalls[str] = PendingCalls()
    assert calls.next_deadline() is None
    calls.add("never", None)
    assert calls.next_deadline() is None
    calls.add("late", 9.0)
    early = calls.add("early", 2.0)
    assert calls.next_deadline() == 2.0
    assert calls.expire(2.0) == [(early, "early")]
    assert calls.next_deadline() == 9.0


def test_calls_that_end_in_the_same_tick_expire_in_the_order_in_which_they_came() -> None:
    calls: PendingCalls[int] = PendingCalls()
    first, gone, third = (calls.add(number, 1.0) for number in range(3))
    calls.settle(gone)
    assert calls.expire(1.0) == [(first, 0), (third, 2)]


def test_one_that_goes_on_waiting_can_be_looked_at() -> None:
    calls: PendingCalls[str] = PendingCalls()
    sequence = calls.add("many answers", None)
    assert calls.peek(sequence) == calls.peek(sequence) == "many answers"
    assert calls.peek(sequence + 1) is None
    assert len(calls) == 1


def test_draining_gives_every_call_and_leaves_nothing() -> None:
    calls: PendingCalls[str] = PendingCalls()
    pending = [(calls.add(name, deadline), name) for name, deadline in (("a", 1.0), ("b", None), ("c", 2.0))]
    assert calls.drain() == pending
    assert calls.next_deadline() is None
    assert calls.expire(9.0) == []


def test_sequences_are_never_0_and_never_those_of_pending_calls() -> None:
    calls: PendingCalls[int] = PendingCalls()
    kept = calls.add(0, None)
    calls._sequence = 0xFFFF_FFFE
    assert [calls.add(1, None), calls.add(2, None)] == [0xFFFF_FFFF, kept + 1]


def test_calls_with_long_time_outs_leave_nothing_behind_when_they_are_answered() -> None:
    calls: PendingCalls[str] = PendingCalls()
    still = calls.add("waiting", 86_400.0)
    for step in range(100_000):
        calls.settle(calls.add("x", 86_400.0 + step * CALL_TICK_S))
    assert sys.getsizeof(calls._ticks) < 200_000
    assert len(calls._ticks) < 5000
    assert calls.expire(200_000.0) == [(still, "waiting")]


class Machine(RuleBasedStateMachine):
    """Against a plain dictionary of deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: PendingCalls[int] = PendingCalls()
        self.model: dict[int, float] = {}
        self.now = 0.0

    @rule(wait=st.none() | st.integers(0, 50))
    def add(self, wait: int | None) -> None:
        deadline = None if wait is None else self.now + wait * CALL_TICK_S
        sequence = self.calls.add(len(self.model), deadline)
        assert sequence not in self.model
        self.model[sequence] = math.inf if deadline is None else deadline

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.model:
            sequence = data.draw(st.sampled_from(sorted(self.model)))
            del self.model[sequence]
            assert self.calls.settle(sequence) is not None

    @rule(ticks=st.integers(1, 30))
    def advance(self, ticks: int) -> None:
        self.now = round(self.now + ticks * CALL_TICK_S, 6)
        expired = {sequence for sequence, _ in self.calls.expire(self.now)}
        due = {s for s, deadline in self.model.items() if deadline <= self.now}
        early = {s for s in expired if self.model[s] > self.now + CALL_TICK_S}
        late = {s for s in due - expired if self.model[s] <= self.now - CALL_TICK_S}
        assert not early
        assert not late
        for sequence in expired:
            del self.model[sequence]

    @invariant()
    def all_are_there(self) -> None:
        assert len(self.calls) == len(self.model)


TestMachine = Machine.TestCase


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=30))
def test_waiting_for_the_next_deadline_each_time_expires_all(deadlines: list[float]) -> None:
    calls: PendingCalls[float] = PendingCalls()
    for deadline in deadlines:
        calls.add(deadline, deadline)
    while (now := calls.next_deadline()) is not None:
        assert all(deadline <= now + 1e-9 for _, deadline in calls.expire(now + 1e-9))
    assert len(calls) == 0
