"""The states of a supervised process, and every transition between them.

    starting   wanted, and not ready yet: it waits for what it depends on, or it runs and has not reported ready
    running    ready
    stopping   asked to end (or ending what it left behind); nothing of it counts as gone before its whole family is
    backoff    crashed; will be started again when the delay is over
    exited     over, and meant to be: it was stopped, or ended by itself as its policy allows
    failed     given up: only `start` or `restart` by a person brings it back

A process is created `exited`. Whatever is not in TRANSITIONS does not happen: the machine raises.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The names that users see."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    EXITED = "exited"
    FAILED = "failed"


class Event(StrEnum):
    """What can happen to a process."""

    START = "start"
    """somebody wants it up"""
    STOP = "stop"
    """somebody wants it down, or down and up again"""
    READY = "ready"
    """registered on the bus, or its probe succeeded"""
    UNHEALTHY = "unhealthy"
    """alive, but a liveness probe, the bus or a limit says it must be replaced"""
    EXIT = "exit"
    """the process ended; others of its family may still live"""
    GONE = "gone"
    """nothing of its family lives"""
    DUE = "due"
    """the deadline of this state has come"""
    SPAWN_FAILED = "spawn failed"
    """the operating system refused to start it"""


_S, _E = State, Event

TRANSITIONS: Final[dict[tuple[State, Event], frozenset[State]]] = {
    (_S.EXITED, _E.START): frozenset({_S.STARTING}),
    (_S.FAILED, _E.START): frozenset({_S.STARTING}),
    (_S.BACKOFF, _E.START): frozenset({_S.STARTING}),
    (_S.STARTING, _E.READY): frozenset({_S.RUNNING}),
    (_S.STARTING, _E.SPAWN_FAILED): frozenset({_S.BACKOFF, _S.FAILED}),
    # STOPPING: it ended, and left processes of its family behind.
    (_S.STARTING, _E.EXIT): frozenset({_S.BACKOFF, _S.EXITED, _S.FAILED, _S.STOPPING}),
    (_S.RUNNING, _E.EXIT): frozenset({_S.BACKOFF, _S.EXITED, _S.FAILED, _S.STOPPING}),
    (_S.STARTING, _E.DUE): frozenset({_S.STOPPING}),  # not ready in time
    (_S.STARTING, _E.UNHEALTHY): frozenset({_S.STOPPING}),
    (_S.RUNNING, _E.UNHEALTHY): frozenset({_S.STOPPING}),
    # EXITED: it was waiting for what it depends on, there is no process to stop.
    (_S.STARTING, _E.STOP): frozenset({_S.STOPPING, _S.EXITED, _S.STARTING}),
    (_S.RUNNING, _E.STOP): frozenset({_S.STOPPING}),
    (_S.BACKOFF, _E.STOP): frozenset({_S.EXITED, _S.STARTING}),
    (_S.FAILED, _E.STOP): frozenset({_S.EXITED, _S.STARTING}),
    (_S.EXITED, _E.STOP): frozenset({_S.EXITED, _S.STARTING}),
    (_S.STOPPING, _E.STOP): frozenset({_S.STOPPING}),  # only what follows changes
    (_S.STOPPING, _E.START): frozenset({_S.STOPPING}),
    (_S.STOPPING, _E.EXIT): frozenset({_S.STOPPING}),
    (_S.STOPPING, _E.DUE): frozenset({_S.STOPPING}),  # SIGTERM did not do: SIGKILL
    (_S.STOPPING, _E.GONE): frozenset({_S.EXITED, _S.STARTING, _S.BACKOFF, _S.FAILED}),
    (_S.BACKOFF, _E.DUE): frozenset({_S.STARTING}),
}

ALIVE: Final = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
"""States in which a process may exist."""

SETTLED: Final = frozenset({State.EXITED, State.FAILED})
"""States that nothing leaves without a person."""
