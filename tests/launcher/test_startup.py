"""Has the cluster come up? Asked of units in the states a test puts them in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from launcher.startup import Verdict, judge
from launcher.states import State


def unit(state: State, **more: Any) -> Any:
    rules = SimpleNamespace(must_report_ready=more.get("must", True), start_timeout=30.0)
    return SimpleNamespace(
        name="x.1",
        state=state,
        ready=state is State.RUNNING,
        spec=SimpleNamespace(rules=rules),
        machine=SimpleNamespace(wanted=more.get("wanted", True), detail="why"),
        first_spawned_at=more.get("spawned"),
    )


def test_all_ready() -> None:
    assert judge(
        [unit(State.RUNNING), unit(State.EXITED, must=False), unit(State.EXITED, wanted=False)], 0.0
    ) == Verdict(ready=True)


def test_one_that_failed_or_ended_is_the_end() -> None:
    assert judge([unit(State.FAILED)], 0.0) == Verdict(failed="x.1", reason="x.1 has failed: why")
    assert judge([unit(State.EXITED)], 0.0).reason == "x.1 has ended: why"


def test_start_timeout_counts_from_its_first_start_across_crashes() -> None:
    assert judge([unit(State.STARTING)], 1000.0) == Verdict()  # waits for others
    assert judge([unit(State.BACKOFF, spawned=10.0), unit(State.STARTING, spawned=5.0)], 20.0) == Verdict(
        ask_again_at=35.0
    )
    assert (
        judge([unit(State.BACKOFF, spawned=10.0)], 40.0).reason
        == "x.1 is not ready after 30 s (backoff: why)"
    )
