"""What is wrong with a cluster, in a sentence each, and what that makes of its state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from launcher.daemon.status_view import problems, verdict
from launcher.plan.spec import Kind
from launcher.supervision.states import State


def instance(state: State, **more: Any) -> Any:
    return SimpleNamespace(
        name="x.1",
        state=state,
        ready=more.get("ready", state is State.RUNNING),
        machine=SimpleNamespace(state=state, wanted=more.get("wanted", True), detail="why"),
        spec=SimpleNamespace(kind=more.get("kind", Kind.SERVICE)),
        log=SimpleNamespace(file=SimpleNamespace(problem=more.get("problem", ""), lost_lines=3)),
    )


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (instance(State.RUNNING), []),
        (instance(State.RUNNING, ready=False), ["x.1 runs, but is not ready"]),
        (instance(State.STARTING), ["x.1 is starting: why"]),
        (instance(State.STARTING, wanted=False), []),
        (instance(State.STOPPING), ["x.1 is stopping: why"]),
        (instance(State.STOPPING, wanted=False), []),
        (instance(State.BACKOFF), ["x.1 is backoff: why"]),
        (instance(State.FAILED), ["x.1 is failed: why"]),
        (instance(State.EXITED), ["x.1 is exited: why"]),
        (instance(State.EXITED, wanted=False), []),
        (instance(State.EXITED, kind=Kind.COMMAND), []),
        (
            instance(State.RUNNING, problem="No space left"),
            ["the log of x.1 cannot be written (3 lines lost): No space left"],
        ),
    ],
)
def test_problems(one: Any, found: list[str]) -> None:
    assert problems([one]) == found


@pytest.mark.parametrize(
    ("states", "wrong", "state"),
    [
        ([State.RUNNING], [], "healthy"),
        ([State.RUNNING, State.STARTING], ["x"], "starting"),
        ([State.STARTING, State.BACKOFF], ["x"], "degraded"),
        ([State.STARTING, State.FAILED], ["x"], "degraded"),
        ([State.STARTING, State.STOPPING], ["x"], "degraded"),
        ([State.RUNNING], ["an alarm"], "degraded"),
    ],
)
def test_the_verdict(states: list[State], wrong: list[str], state: str) -> None:
    assert verdict([instance(one) for one in states], wrong) == state
