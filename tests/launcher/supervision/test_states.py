"""The table of states is complete and says what it should."""

from __future__ import annotations

from launcher.supervision.states import ALIVE, SETTLED, TRANSITIONS, Event, State


def test_every_state_can_be_left_and_reached() -> None:
    left = {state for state, _ in TRANSITIONS}
    reached = {state for targets in TRANSITIONS.values() for state in targets}
    assert left == reached == set(State)


def test_only_a_person_leaves_a_settled_state() -> None:
    leaving = {
        event for (state, event), targets in TRANSITIONS.items() if state in SETTLED and targets - {state}
    }
    assert leaving == {Event.START, Event.STOP}  # STOP with `again` is a restart


def test_every_state_hears_start_and_stop_or_needs_not() -> None:
    assert {state for state, event in TRANSITIONS if event is Event.STOP} == set(State)
    assert {state for state, event in TRANSITIONS if event is Event.START} == set(State) - {
        State.STARTING,
        State.RUNNING,
    }


def test_settled_states_have_no_process() -> None:
    assert not ALIVE & SETTLED
    assert State.BACKOFF not in ALIVE


def test_states_have_the_names_users_were_promised() -> None:
    assert {str(state) for state in State} == {
        "starting",
        "running",
        "backoff",
        "stopping",
        "exited",
        "failed",
    }
