"""Histories of one process: what happens, what the machine does, what state it is in. The clock is a number."""

from __future__ import annotations

import pytest

from launcher.plan.spec import LifecycleSettings
from launcher.processes.exit_status import ExitStatus
from launcher.supervision.lifecycle import Action, Lifecycle
from launcher.supervision.states import State
from luabus.cluster.restart_policy import RestartPolicy
from luabus.messages import Message

OK, CRASH, KILLED = ExitStatus(code=0), ExitStatus(code=1), ExitStatus(signal=9)
SPAWN, TERMINATE, KILL = (Action.SPAWN,), (Action.TERMINATE,), (Action.KILL,)


def machine(**rules: object) -> Lifecycle:
    return Lifecycle(LifecycleSettings(**rules), chance=lambda: 0.5)  # type: ignore[arg-type]


def running(**rules: object) -> Lifecycle:
    one = machine(**rules)
    one.start(0.0)
    assert one.clear(0.0) == SPAWN
    one.ready(1.0)
    assert one.state is State.RUNNING
    return one


def test_start_waits_for_leave_then_for_ready() -> None:
    one = machine()
    assert one.start(0.0) == ()
    assert (one.state, one.waiting) == (State.STARTING, True)
    assert one.clear(5.0) == SPAWN
    assert (one.waiting, one.deadline) == (False, 35.0)
    one.ready(6.0)
    assert (one.state, one.deadline, one.ready_since) == (State.RUNNING, None, 6.0)


def test_starting_what_is_up_does_nothing() -> None:
    one = running()
    assert one.start(2.0) == ()
    assert one.clear(2.0) == ()
    assert one.state is State.RUNNING


def test_stop_asks_first_and_kills_at_the_deadline() -> None:
    one = running(stop_timeout=10.0)
    assert one.stop(100.0) == TERMINATE
    assert (one.state, one.deadline) == (State.STOPPING, 110.0)
    assert one.due(109.9) == ()
    assert one.due(110.0) == KILL
    assert "10 s" in str(one.detail)
    one.exited(110.1, KILLED)
    assert (one.state, one.wanted, one.has_process) == (State.EXITED, False, False)


def test_that_it_was_killed_is_the_last_that_is_said_of_a_stop() -> None:
    it = running(stop_timeout=2.0)
    it.stop(10.0, Message.verbatim("stopped by root"))
    it.due(12.0)
    assert it.killed_after == 2.0
    it.stop(12.1, Message.verbatim("stopped by ann"))  # once more
    it.exited(12.5, ExitStatus(signal=9))
    assert str(it.detail) == "stopped by ann; did not end within 2 s and was killed"
    it.start(13.0)
    it.clear(13.0)
    it.ready(13.0)
    it.stop(14.0)
    assert it.killed_after is None
    it.exited(14.1, ExitStatus(code=0))
    assert it.detail == Message("process.stopped")


def test_one_that_hangs_and_does_not_end_either_is_told_so() -> None:
    it = running(stop_timeout=2.0)
    it.unhealthy(10.0, Message.verbatim("its probe failed"))
    it.due(12.0)
    it.exited(12.5, ExitStatus(signal=9))
    assert str(it.detail).startswith(
        "its probe failed; did not end within 2 s and was killed; starts again in"
    )


def test_stopped_means_the_whole_family_is_gone() -> None:
    one = running()
    one.stop(2.0)
    assert one.exited(3.0, OK, leftovers=2) == TERMINATE  # the rest is asked as well
    assert one.state is State.STOPPING
    assert one.due(12.0) == KILL
    one.gone(12.5)
    assert one.state is State.EXITED


def test_a_crash_backs_off_and_starts_again() -> None:
    one = running()
    one.exited(10.0, CRASH)
    assert (one.state, one.deadline) == (State.BACKOFF, 10.5)
    assert "exit code 1" in str(one.detail)
    one.due(10.5)
    assert (one.state, one.waiting, one.returning) == (State.STARTING, True, True)
    one.clear(10.5)
    assert one.restarts == 1


def test_a_crash_that_left_processes_behind_waits_for_them_before_it_is_judged() -> None:
    one = running()
    assert one.exited(10.0, CRASH, leftovers=1) == TERMINATE
    assert one.state is State.STOPPING
    one.gone(11.0)
    assert one.state is State.BACKOFF


def test_success_with_leftovers_is_still_a_success() -> None:
    one = running(must_report_ready=False)
    one.exited(10.0, OK, leftovers=1)
    one.gone(11.0)
    assert one.state is State.EXITED


def test_not_ready_in_time_counts_as_a_crash() -> None:
    one = machine(start_timeout=30.0)
    one.start(0.0)
    one.clear(0.0)
    assert one.due(30.0) == TERMINATE
    one.exited(31.0, OK)
    assert one.state is State.BACKOFF
    assert "not ready within 30 s" in str(one.detail)


def test_success_before_ready_is_a_crash_where_it_had_to_report() -> None:
    one = machine()
    one.start(0.0)
    one.clear(0.0)
    one.exited(0.1, OK)
    assert one.state is State.BACKOFF
    assert "before it was ready" in str(one.detail)


def test_success_at_once_is_fine_for_a_command_without_a_probe() -> None:
    one = machine(must_report_ready=False)
    one.start(0.0)
    one.clear(0.0)
    assert one.deadline is None
    one.exited(0.1, OK)
    assert one.state is State.EXITED


def test_crash_limit_ends_in_failed_and_only_a_person_brings_it_back() -> None:
    one = running()
    now = 1.0
    for _ in range(5):
        one.exited(now, CRASH)
        if one.deadline is not None:
            now = one.deadline
            one.due(now)
            one.clear(now)
    assert one.state is State.FAILED
    assert one.due(1e9) == ()
    one.start(100.0)
    assert one.waiting
    one.clear(100.0)
    one.exited(100.1, CRASH)
    assert (one.state, one.crashes_in_a_row) == (State.BACKOFF, 1)


def test_what_cannot_be_loaded_has_failed_at_once() -> None:
    one = machine(load_failure_is_final=True)
    one.start(0.0)
    one.clear(0.0)
    one.exited(0.5, ExitStatus(code=3))
    assert one.state is State.FAILED
    foreign = machine()
    foreign.start(0.0)
    foreign.clear(0.0)
    foreign.exited(0.5, ExitStatus(code=3))
    assert foreign.state is State.BACKOFF


def test_what_cannot_be_spawned_has_failed_at_once() -> None:
    one = machine()
    one.start(0.0)
    one.clear(0.0)
    one.spawn_failed(0.0, "there is no program 'x'")
    assert (one.state, one.detail, one.has_process) == (
        State.FAILED,
        Message.verbatim("there is no program 'x'"),
        False,
    )


def test_unhealthy_is_replaced_and_counts_as_a_crash_even_if_it_ends_well() -> None:
    one = running()
    assert one.unhealthy(50.0, Message.verbatim("its loop hangs")) == TERMINATE
    one.exited(51.0, OK)
    assert one.state is State.BACKOFF
    assert "its loop hangs" in str(one.detail)


def test_restart_stops_and_starts_without_back_off() -> None:
    one = running()
    assert one.stop(5.0, Message("process.restarted"), again=True) == TERMINATE
    one.exited(6.0, KILLED)
    assert (one.state, one.waiting, one.wanted, one.returning) == (State.STARTING, True, True, True)
    one.clear(6.0)
    assert one.restarts == 1


@pytest.mark.parametrize("before", ["backoff", "failed", "exited", "waiting"])
def test_restart_of_what_has_no_process_starts_it(before: str) -> None:
    one = machine(restart=RestartPolicy(policy="never" if before == "failed" else "on-failure"))
    if before != "exited":
        one.start(0.0)
    if before in ("backoff", "failed"):
        one.clear(0.0)
        one.exited(1.0, CRASH)
        assert one.state.value == before
    one.stop(2.0, Message("process.restarted"), again=True)
    assert one.waiting
    assert one.clear(2.0) == SPAWN


def test_stop_of_what_waits_or_backs_off_needs_no_process() -> None:
    one = machine()
    one.start(0.0)
    assert one.stop(1.0) == ()
    assert one.state is State.EXITED
    two = running()
    two.exited(2.0, CRASH)
    assert two.stop(2.1) == ()
    assert (two.state, two.deadline) == (State.EXITED, None)


def test_start_while_stopping_brings_it_back_afterwards() -> None:
    one = running()
    one.stop(2.0)
    one.start(3.0)
    one.exited(4.0, KILLED)
    assert one.waiting


def test_stop_while_restarting_keeps_it_down() -> None:
    one = running()
    one.stop(2.0, again=True)
    one.stop(3.0)
    assert one.deadline == 12.0  # the patience counts from the first time it was asked
    one.exited(4.0, KILLED)
    assert one.state is State.EXITED


def test_stop_of_an_unhealthy_one_on_its_way_out_keeps_it_down() -> None:
    one = running()
    one.unhealthy(2.0, Message.verbatim("hangs"))
    one.stop(3.0)
    one.exited(4.0, KILLED)
    assert one.state is State.EXITED


def test_hurry_kills_only_what_is_stopping() -> None:
    one = running()
    assert one.kill_now() == ()
    one.stop(2.0)
    assert one.kill_now() == KILL


def test_health_resets_the_back_off() -> None:
    one = running()
    one.exited(10.0, CRASH)
    one.due(10.5)
    one.clear(10.5)
    one.ready(11.0)
    one.exited(71.0, CRASH)
    assert one.deadline == 71.5


def test_late_news_is_ignored() -> None:
    one = running()
    one.stop(2.0)
    one.exited(3.0, OK)
    for news in (one.ready, one.gone, one.due, one.clear):
        assert news(4.0) == ()
    assert one.unhealthy(4.0, Message.verbatim("x")) == ()
    assert one.state is State.EXITED


def test_what_the_table_does_not_allow_does_not_happen() -> None:
    one = machine()
    with pytest.raises(RuntimeError, match="no transition from exited"):
        one.exited(0.0, OK)


def test_other_rules_hold_from_now_on() -> None:
    one = machine(start_timeout=30.0)
    one.start(0.0)
    one.clear(0.0)
    one.adopt(LifecycleSettings(RestartPolicy(crash_limit=1), start_timeout=5.0), wait_again=False)
    one.exited(1.0, KILLED)
    assert (one.state, one.crashes_in_a_row) == (State.FAILED, 1)
    one.stop(2.0, again=True)
    one.clear(2.0)
    assert one.deadline == 7.0


def test_what_depends_on_something_else_waits_for_that_also_when_it_comes_back() -> None:
    one = running()
    one.stop(2.0, again=True)
    one.exited(3.0, KILLED)
    assert one.returning
    one.adopt(one.rules, wait_again=True)
    assert not one.returning


def started(one: Lifecycle) -> Lifecycle:
    one.start(0.0)
    assert one.clear(0.0) == SPAWN
    one.spawned()
    return one


def test_what_was_up_is_tried_again_whatever_goes_wrong_at_a_restart() -> None:
    one = started(machine(load_failure_is_final=True))
    one.ready(1.0)
    one.exited(2.0, CRASH)
    one.due(3.0)
    one.clear(3.0)
    one.spawn_failed(3.0, "its folder does not exist")
    assert (one.state, one.has_process) == (State.BACKOFF, False)
    assert "its folder does not exist; starts again in" in str(one.detail)
    one.due(9.0)
    one.clear(9.0)
    one.spawned()
    one.exited(9.5, ExitStatus(code=3))  # its module is half written
    assert (one.state, one.crashes_in_a_row) == (State.BACKOFF, 3)


def test_such_trouble_is_a_crash_and_ends_at_the_limits() -> None:
    one = started(machine(restart=RestartPolicy(crash_limit=3)))
    one.exited(0.1, CRASH)
    now = 1.0
    while one.state is State.BACKOFF:
        one.due(now)
        one.clear(now)
        one.spawn_failed(now, "there is no program 'x'")
        now += 5
    assert (one.state, one.crashes_in_a_row) == (State.FAILED, 3)


def test_what_is_run_otherwise_never_was_up() -> None:
    one = started(machine(load_failure_is_final=True))
    one.ready(1.0)
    one.stop(2.0, again=True)
    one.exited(3.0, KILLED)
    one.adopt(one.rules, wait_again=False, other=True)
    one.clear(3.0)
    one.spawn_failed(3.0, "there is no program 'y'")
    assert one.state is State.FAILED
    one.start(4.0)
    one.clear(4.0)
    one.spawned()
    one.exited(5.0, ExitStatus(code=3))
    assert one.state is State.FAILED


def test_what_passes_by_itself_is_never_final() -> None:
    one = machine(restart=RestartPolicy(policy="never", crash_limit=1))
    one.start(0.0)
    now = 0.0
    for _ in range(100):
        one.clear(now)
        one.spawn_failed(now, "Too many open files", passing=True)
        assert one.state is State.BACKOFF
        now = one.deadline or now
        one.due(now)
    assert now > 90 * 30.0  # with the longest delay, in the end


def test_a_job_is_done_when_it_ends_well_ready_or_not() -> None:
    for ready in (True, False):
        one = started(machine(job=True, must_report_ready=True))
        if ready:
            one.ready(0.5)
        one.exited(1.0, OK)
        assert (one.state, one.completed, str(one.detail)) == (State.EXITED, True, "exit code 0")
    one.stop(2.0)
    assert one.completed
    one.start(3.0)
    assert not one.completed


def test_a_job_that_fails_is_not_done() -> None:
    one = started(machine(job=True, must_report_ready=False, restart=RestartPolicy(policy="never")))
    one.exited(1.0, CRASH)
    assert (one.state, one.completed) == (State.FAILED, False)


def test_success_is_what_the_file_says() -> None:
    codes = frozenset({0, 3, 143})
    one = started(machine(must_report_ready=False, success_codes=codes, load_failure_is_final=True))
    one.exited(1.0, ExitStatus(code=143))
    assert (one.state, one.completed) == (State.EXITED, True)
    one.start(2.0)
    one.clear(2.0)
    one.exited(3.0, ExitStatus(code=3))
    assert (one.state, one.completed) == (State.EXITED, True)
    other = started(machine(must_report_ready=False, success_codes=frozenset({3})))
    other.exited(1.0, OK)
    assert (other.state, other.completed) == (State.BACKOFF, False)


def test_one_that_was_replaced_has_not_done_its_work() -> None:
    one = started(machine(job=True))
    one.unhealthy(1.0, Message.verbatim("hangs"))
    one.exited(2.0, OK)
    assert (one.state, one.completed) == (State.BACKOFF, False)


def test_not_ready_in_time_says_what_it_lacked() -> None:
    one = started(machine(start_timeout=30.0))
    one.due(30.0, Message("health.it-is-registered-at-no-router"))
    assert str(one.detail) == "not ready within 30 s: it is registered at no router"


def test_how_long_a_restart_is_away() -> None:
    one = running()
    assert one.restart_in_s(5.0) is None
    one.exited(10.0, CRASH)
    assert (one.restart_in_s(10.1), one.restart_in_s(99.0)) == (pytest.approx(0.4), 0.0)
