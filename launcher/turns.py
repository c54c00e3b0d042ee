"""Whose turn it is: which processes may start now, and which must stay while the cluster stops. Pure looks at the units.

A process starts when a router is ready and all it depends on is ready; what comes back after a crash or a restart does not
wait for its dependencies again. Only so many start at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from launcher.spec import Kind, ProcessSpec
from launcher.states import SETTLED, State
from launcher.unit import Unit

START_SLOTS: Final = max(4, 4 * (os.cpu_count() or 1))
"""So many processes are started at a time: a hundred at once would all be slow, and some would miss start_timeout."""

SLOT_PATIENCE_S: Final = 3.0
"""One that is still not ready after this no longer holds a start slot."""


@dataclass(frozen=True)
class Turns:
    """`start`: may start now; `waiting`: must wait; `again_at`: when a slot becomes free by itself, or None."""

    start: Sequence[Unit]
    waiting: Sequence[Waiting]
    again_at: float | None


@dataclass(frozen=True)
class Waiting:
    """One that must wait, and for what; `stuck` when that does not come unless a person does something."""

    unit: Unit
    why: str
    stuck: bool = False


def whose_turn(units: Sequence[Unit], now: float) -> Turns:
    """Decides for all units that wait to start; `now` as `Unit.spawned_at`."""
    candidates = [unit for unit in units if unit.machine.waiting]
    if not candidates:
        return Turns((), (), None)
    busy = [
        unit.spawned_at + SLOT_PATIENCE_S
        for unit in units
        if unit.state is State.STARTING
        and unit.machine.has_process
        and unit.spawned_at + SLOT_PATIENCE_S > now
    ]
    free = START_SLOTS - len(busy)
    obstacles = _Obstacles(units)
    start: list[Unit] = []
    waiting: list[Waiting] = []
    for unit in candidates:
        obstacle = None if unit.machine.returning else obstacles.of(unit.spec)
        if obstacle is not None:
            waiting.append(Waiting(unit, f"waits for {obstacle}", stuck=bool(obstacle.remedy)))
        elif len(start) < free:
            start.append(unit)
        else:
            waiting.append(Waiting(unit, "waits for its turn"))
    full = len(start) >= free
    return Turns(start, waiting, min(busy, default=None) if full else None)


def nobody_needs(spec: ProcessSpec, alive: Iterable[Unit]) -> bool:
    """True when none of those that still live may depend on it: routers go last, the dashboard just before them."""
    if spec.kind is Kind.ROUTER:
        return all(unit.spec.kind is Kind.ROUTER for unit in alive)
    if spec.kind is Kind.DASHBOARD:
        return all(unit.spec.kind in (Kind.ROUTER, Kind.DASHBOARD) for unit in alive)
    return not any(spec.service in unit.spec.depends_on for unit in alive)


@dataclass(frozen=True)
class _Obstacle:
    """What somebody waits for; `remedy`: what a person has to do, empty when it may still come by itself."""

    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class _Obstacles:
    """What a process still has to wait for. Each service is looked at once, however many depend on it."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._services: dict[str, list[Unit]] = {}
        for unit in units:
            self._services.setdefault(unit.spec.service, []).append(unit)
        self._found: dict[str, _Obstacle | None] = {}
        self._router = self._look_at_routers([unit for unit in units if unit.spec.kind is Kind.ROUTER])

    def of(self, spec: ProcessSpec) -> _Obstacle | None:
        """None when it may start."""
        if spec.kind is Kind.ROUTER:
            return None
        if self._router is not None:
            return self._router
        for service in spec.depends_on:
            if service not in self._found:
                self._found[service] = self._look(service)
            if (found := self._found[service]) is not None:
                return found
        return None

    def _look_at_routers(self, routers: Sequence[Unit]) -> _Obstacle | None:
        if any(unit.ready for unit in routers):
            return None
        coming = any(not self._remedy(unit) for unit in routers)
        return _Obstacle("a router", "" if coming else "start router first")

    def _look(self, service: str) -> _Obstacle | None:
        units = self._services.get(service, [])
        # An instance that somebody stopped on purpose is not waited for, as long as others serve.
        missing = [unit for unit in units if not satisfies(unit) and unit.machine.wanted]
        if not missing and any(satisfies(unit) for unit in units):
            return None
        if not units:
            return _Obstacle(f"{service} (which has no instances)", f"scale {service} up first")
        remedies = [(unit, self._remedy(unit)) for unit in missing or units]
        unit, remedy = next((found for found in remedies if found[1]), remedies[0])
        return _Obstacle(f"{unit.name} ({unit.state})", remedy)

    def _remedy(self, unit: Unit) -> str:
        """What a person has to do before this one satisfies; empty when it is on its way."""
        if not unit.machine.wanted or unit.state in SETTLED:
            return f"start {unit.name} first"
        if unit.machine.waiting and not unit.machine.returning:
            obstacle = self.of(unit.spec)
            return obstacle.remedy if obstacle is not None else ""
        return ""


def satisfies(unit: Unit) -> bool:
    """Whether those that depend on it may start: ready, or (without a way to report) ended with success."""
    if unit.state is State.EXITED and not unit.spec.rules.must_report_ready:
        return unit.last_exit is not None and unit.last_exit["code"] == 0
    return unit.ready
