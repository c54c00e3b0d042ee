"""Restart decisions, with made-up times."""

from __future__ import annotations

import pytest

from luabus.cluster.restart_policy import CrashHistory, GiveUp, Leave, Restart, RestartPolicy
from luabus.messages import Message


def history(**rules: object) -> CrashHistory:
    return CrashHistory(RestartPolicy(**rules))  # type: ignore[arg-type]


def crash(log: CrashHistory, now: float, *, ready_for: float | None = None, chance: float = 0.5) -> object:
    return log.ended(now, crashed=True, ready_for=ready_for, chance=chance)


def test_the_delay_doubles_up_to_its_cap() -> None:
    log = history(crash_limit=100, slow_crash_limit=100)
    delays = [crash(log, now=1000.0 * n) for n in range(9)]
    assert [d.delay for d in delays if isinstance(d, Restart)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 0.4), (0.5, 0.5), (1.0, 0.6)])
def test_jitter_is_a_fifth_both_ways(chance: float, delay: float) -> None:
    decision = crash(history(), 0.0, chance=chance)
    assert isinstance(decision, Restart)
    assert decision.delay == pytest.approx(delay)


def test_a_minute_of_health_starts_the_delay_again() -> None:
    log = history()
    for now in (0.0, 100.0, 200.0):
        crash(log, now)
    unhealthy, healthy = crash(log, 300.0, ready_for=59.9), crash(log, 400.0, ready_for=60.0)
    assert isinstance(unhealthy, Restart)
    assert isinstance(healthy, Restart)
    assert (unhealthy.delay, healthy.delay) == (4.0, 0.5)


def test_five_crashes_within_a_minute_are_the_end() -> None:
    log = history()
    decisions = [crash(log, now) for now in (0.0, 15.0, 30.0, 45.0, 60.0)]
    assert [type(d) for d in decisions] == [Restart] * 4 + [GiveUp]
    assert decisions[-1] == GiveUp(Message("policy.crashes-within", count=5, seconds="60"))


def test_five_crashes_in_a_little_more_than_a_minute_are_not() -> None:
    log = history()
    assert all(isinstance(crash(log, now), Restart) for now in (0.0, 15.1, 30.2, 45.3, 60.4))


def test_five_starts_in_a_row_that_were_not_ready_in_time_are_the_end_however_long_they_took() -> None:
    log = history()
    late = [log.ended(100.0 * n, crashed=True, ready_for=None, chance=0.5, late=True) for n in range(4)]
    log.ended(400.0, crashed=True, ready_for=5.0, chance=0.5)
    late += [log.ended(100.0 * n, crashed=True, ready_for=None, chance=0.5, late=True) for n in range(5, 10)]
    assert [type(decision) for decision in late] == [Restart] * 8 + [GiveUp]
    assert late[-1] == GiveUp(Message("policy.late-in-a-row", count=5))


def test_one_that_crashes_every_twenty_seconds_is_seen_too() -> None:
    log, now, crashes = history(), 0.0, 0
    while True:
        now += 20.0
        crashes += 1
        decision = crash(log, now, ready_for=19.0)
        if isinstance(decision, GiveUp):
            break
        assert isinstance(decision, Restart)
        now += decision.delay
    assert crashes == 20
    assert str(decision.reason) == "20 crashes within 3600 s"
    assert now < 1000


def test_an_hourly_crash_is_lived_with() -> None:
    log = history()
    assert all(isinstance(crash(log, 3600.0 * n, ready_for=3599.0), Restart) for n in range(500))
    assert len(log.times) <= 2  # nothing is kept beyond the longer window


def test_success_is_left_alone_unless_the_policy_is_always() -> None:
    assert history().ended(0.0, crashed=False, ready_for=1.0, chance=0.5) == Leave()
    assert history(policy="never").ended(0.0, crashed=False, ready_for=1.0, chance=0.5) == Leave()
    always = history(policy="always").ended(0.0, crashed=False, ready_for=1.0, chance=0.5)
    assert isinstance(always, Restart)


def test_always_does_not_count_successes_as_crashes() -> None:
    log = history(policy="always")
    ends = [log.ended(float(n), crashed=False, ready_for=0.1, chance=0.5) for n in range(50)]
    assert all(isinstance(end, Restart) for end in ends)
    assert isinstance(ends[-1], Restart)
    assert ends[-1].delay == 30.0


def test_never_gives_up_at_the_first_crash() -> None:
    assert isinstance(crash(history(policy="never"), 0.0), GiveUp)


def test_a_person_who_starts_it_gives_it_a_new_life() -> None:
    log = history()
    for now in range(4):
        crash(log, float(now))
    log.forget()
    assert crash(log, 5.0) == Restart(0.5, 1)


def test_how_many_more_crashes_it_would_be_started_again_after() -> None:
    log = history(slow_crash_limit=7)
    left = [log.left(0.0)]
    for now in (0.0, 15.0, 30.0, 45.0):
        crash(log, now)
        left.append(log.left(now))
    assert left == [4, 3, 2, 1, 0]
    assert (log.left(60.0), log.left(60.1), log.left(200.0)) == (0, 1, 2)  # the row of seven within an hour
    assert isinstance(crash(log, 60.0), GiveUp)
    assert log.left(60.0) == 0
    assert (history(policy="never").left(0.0), history(policy="always").left(0.0)) == (0, 4)


def test_a_thousand_crashes_do_not_overflow() -> None:
    log = history(crash_limit=10**9, slow_crash_limit=10**9)
    decision = Restart(0.0, 0)
    for now in range(2000):
        decision = crash(log, float(now))  # type: ignore[assignment]
    assert decision.delay == 30.0


def test_what_is_no_fault_of_the_process_delays_it_and_meets_no_limit() -> None:
    history = CrashHistory(RestartPolicy(crash_limit=1, jitter=0.0, maximum=4.0))
    assert [history.delayed(0.5).delay for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    assert history.left(0.0) == 0
    assert not history.times
