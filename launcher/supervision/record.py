"""An instance as it is at one moment, for those who only look: a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.plan.spec import ProcessSpec
from launcher.supervision.states import State
from luabus.messages import Message


@dataclass(frozen=True)
class ByHand:
    """What somebody did to an instance by hand, which holds until it is undone: `deed` as it is told (`stopped`), and who."""

    deed: str
    by: str


@dataclass(frozen=True)
class InstanceRecord:
    """`detail`: why it is in its state. `wanted`: a person wants it up. `ready` at this moment; `waiting` for
    leave to start, as one that was up before (`returning`) or as at first. `stuck`: what it waits for does not come by itself.
    `completed`: its last run ended by itself, with success. `lacking`: what it is not ready for, while it has a process.
    `spawned_at` in seconds of the supervisor's clock. `last_exit` is `{"code", "signal", "text", "time", "stderr"}`."""

    spec: ProcessSpec
    state: State
    detail: Message | None = None
    wanted: bool = True
    ready: bool = False
    waiting: bool = False
    returning: bool = False
    stuck: bool = False
    completed: bool = False
    looping: bool = False
    """it has ended so often in a row as its crash_limit says, and is tried all the same"""
    lacking: Message | None = None
    has_process: bool = False
    spawned_at: float = 0.0
    last_exit: Mapping[str, Any] | None = None
    by_hand: ByHand | None = None

    @property
    def name(self) -> str:
        return self.spec.name
