"""Which processes may start now, and which must stay while the cluster stops. Pure, over records.

A process starts when a router is ready and all it depends on is ready, or has done its work where that is what it waits for; what
comes back after a crash or a restart does not wait for its dependencies again. Only so many start at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from launcher.plan.spec import Kind, ProcessSpec
from launcher.supervision.record import InstanceRecord
from launcher.supervision.states import SETTLED, State
from luabus.messages import Message

START_SLOTS: Final = max(4, 4 * (os.cpu_count() or 1))
"""So many processes are started at a time: a hundred at once would all be slow, and some would miss start_timeout (which those
that need not report anything cannot)."""

SLOT_PATIENCE_S: Final = 3.0
"""One that is still not ready after this no longer holds a start slot."""


@dataclass(frozen=True)
class Schedule:
    """`start`: who may start now; `waiting`: who must wait; `again_at`: when a slot becomes free by itself, or None."""

    start: Sequence[str]
    waiting: Sequence[Waiting]
    again_at: float | None


@dataclass(frozen=True)
class Waiting:
    """One that must wait, and for what; `stuck` when that does not come unless a person does something."""

    name: str
    why: Message
    stuck: bool = False


def schedule(instances: Sequence[InstanceRecord], now: float) -> Schedule:
    """Decides for all that wait to start; `now` as `InstanceRecord.spawned_at`."""
    candidates = [instance for instance in instances if instance.waiting]
    if not candidates:
        return Schedule((), (), None)
    busy = [
        instance.spawned_at + SLOT_PATIENCE_S
        for instance in instances
        if instance.state is State.STARTING
        and instance.has_process
        and instance.spec.rules.must_report_ready
        and instance.spawned_at + SLOT_PATIENCE_S > now
    ]
    free = START_SLOTS - len(busy)
    obstacles = _Obstacles(instances)
    start: list[str] = []
    waiting: list[Waiting] = []
    for instance in candidates:
        obstacle = None if instance.returning else obstacles.of(instance.spec)
        if obstacle is not None:
            waiting.append(Waiting(instance.name, obstacle.told, stuck=obstacle.remedy is not None))
        elif len(start) < free:
            start.append(instance.name)
        else:
            waiting.append(Waiting(instance.name, Message("process.waits-for-its-turn")))
    full = len(start) >= free
    return Schedule(start, waiting, min(busy, default=None) if full else None)


def nobody_needs(spec: ProcessSpec, alive: Iterable[ProcessSpec]) -> bool:
    """True when none of those that still live may depend on it: routers go last, the dashboard just before them."""
    if spec.kind is Kind.ROUTER:
        return all(other.kind is Kind.ROUTER for other in alive)
    if spec.kind is Kind.DASHBOARD:
        return all(other.kind in (Kind.ROUTER, Kind.DASHBOARD) for other in alive)
    return not any(spec.service in other.depends_on for other in alive)


@dataclass(frozen=True)
class _Obstacle:
    """What somebody waits for; `remedy`: what a person has to do, None when it may still come by itself."""

    what: Message
    remedy: Message | None = None

    @property
    def told(self) -> Message:
        if self.remedy is None:
            return Message("process.waits-for", what=self.what)
        return Message("process.waits-for-a-person", what=self.what, remedy=self.remedy)


class _Obstacles:
    """What a process still has to wait for. Each service is looked at once, however many depend on it."""

    def __init__(self, instances: Sequence[InstanceRecord]) -> None:
        self._services: dict[str, list[InstanceRecord]] = {}
        for instance in instances:
            self._services.setdefault(instance.spec.service, []).append(instance)
        self._obstacles: dict[tuple[str, bool], _Obstacle | None] = {}
        self._router = self._routers_obstacle(
            [instance for instance in instances if instance.spec.kind is Kind.ROUTER]
        )

    def of(self, spec: ProcessSpec) -> _Obstacle | None:
        """None when it may start."""
        if spec.kind is Kind.ROUTER:
            return None
        if self._router is not None:
            return self._router
        for service in spec.depends_on:
            need = service, service in spec.awaits_completion
            if need not in self._obstacles:
                self._obstacles[need] = self._obstacle_of(*need)
            if (obstacle := self._obstacles[need]) is not None:
                return obstacle
        return None

    def _routers_obstacle(self, routers: Sequence[InstanceRecord]) -> _Obstacle | None:
        if any(instance.ready for instance in routers):
            return None
        coming = any(not self._remedy(instance) for instance in routers)
        return _Obstacle(Message("process.a-router"), None if coming else _start_first("router"))

    def _obstacle_of(self, service: str, completed: bool) -> _Obstacle | None:
        instances = self._services.get(service, [])
        satisfies = has_completed if completed else serves
        # An instance that somebody stopped on purpose is not waited for, as long as others serve.
        missing = [instance for instance in instances if not satisfies(instance) and instance.wanted]
        if not missing and any(satisfies(instance) for instance in instances):
            return None
        if not instances:
            return _Obstacle(
                Message("process.a-service-without-instances", name=service),
                Message("process.scale-it-up-first", name=service),
            )
        remedies = [(instance, self._remedy(instance)) for instance in missing or instances]
        instance, remedy = next((pair for pair in remedies if pair[1]), remedies[0])
        if instance.state is State.FAILED:
            name = service if len(instances) == 1 else instance.name
            return _Obstacle(Message("process.another-which-failed", name=name), remedy)
        if completed and instance.state in (State.STARTING, State.RUNNING) and instance.has_process:
            return _Obstacle(Message("process.the-end-of-another", name=instance.name))
        if instance.state in (State.BACKOFF, State.EXITED):
            return _Obstacle(Message(f"process.another-in-{instance.state}", name=instance.name), remedy)
        what = Message("process.another", name=instance.name, state=Message(f"state.{instance.state}"))
        return _Obstacle(what, remedy)

    def _remedy(self, instance: InstanceRecord) -> Message | None:
        """What a person has to do before this one satisfies; None when it is on its way."""
        if not instance.wanted or instance.state in SETTLED:
            return _start_first(instance.name)
        if instance.waiting and not instance.returning:
            obstacle = self.of(instance.spec)
            return obstacle.remedy if obstacle is not None else None
        return None


def _start_first(name: str) -> Message:
    return Message("process.start-it-first", name=name)


def has_completed(instance: InstanceRecord) -> bool:
    """Whether those that wait for its completion may start."""
    return instance.completed


def serves(instance: InstanceRecord) -> bool:
    """Whether those that wait for its being ready may start: also when it has done its work, if it is a job, or said in a line
    of its output that it is ready, which stays said."""
    said = instance.spec.ready is not None and instance.spec.ready.kind == "log"
    return instance.ready or (instance.completed and (instance.spec.rules.job or said))
