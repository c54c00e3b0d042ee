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
from launcher.states import State
from launcher.unit import Unit

START_SLOTS: Final = max(4, 4 * (os.cpu_count() or 1))
"""So many processes are started at a time: a hundred at once would all be slow, and some would miss start_timeout."""

SLOT_PATIENCE_S: Final = 3.0
"""One that is still not ready after this no longer holds a start slot."""


@dataclass(frozen=True)
class Turns:
    """`start`: may start now; `waiting`: must wait, and for what; `again_at`: when a slot becomes free by itself, or None."""

    start: Sequence[Unit]
    waiting: Sequence[tuple[Unit, str]]
    again_at: float | None


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
    waiting: list[tuple[Unit, str]] = []
    for unit in candidates:
        obstacle = "" if unit.machine.returning else obstacles.of(unit.spec)
        if obstacle:
            waiting.append((unit, f"waits for {obstacle}"))
        elif len(start) < free:
            start.append(unit)
        else:
            waiting.append((unit, "waits for its turn"))
    full = len(start) >= free
    return Turns(start, waiting, min(busy, default=None) if full else None)


def nobody_needs(spec: ProcessSpec, alive: Iterable[Unit]) -> bool:
    """True when none of those that still live may depend on it: routers go last, the dashboard just before them."""
    if spec.kind is Kind.ROUTER:
        return all(unit.spec.kind is Kind.ROUTER for unit in alive)
    if spec.kind is Kind.DASHBOARD:
        return all(unit.spec.kind in (Kind.ROUTER, Kind.DASHBOARD) for unit in alive)
    return not any(spec.service in unit.spec.depends_on for unit in alive)


class _Obstacles:
    """What a process still has to wait for. Each service is looked at once, however many depend on it."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._services: dict[str, list[Unit]] = {}
        for unit in units:
            self._services.setdefault(unit.spec.service, []).append(unit)
        self._found: dict[str, str] = {}
        self._routed = any(unit.ready and unit.spec.kind is Kind.ROUTER for unit in units)

    def of(self, spec: ProcessSpec) -> str:
        """Empty when it may start."""
        if spec.kind is Kind.ROUTER:
            return ""
        if not self._routed:
            return "a router"
        for service in spec.depends_on:
            if service not in self._found:
                self._found[service] = self._look(service)
            if self._found[service]:
                return self._found[service]
        return ""

    def _look(self, service: str) -> str:
        units = self._services.get(service, [])
        # An instance that somebody stopped on purpose is not waited for, as long as others serve.
        missing = [unit for unit in units if not satisfies(unit) and unit.machine.wanted]
        if not missing and any(satisfies(unit) for unit in units):
            return ""
        if not units:
            return f"{service} (which has no instances)"
        unit = (missing or units)[0]
        return f"{unit.name} ({unit.state})"


def satisfies(unit: Unit) -> bool:
    """Whether those that depend on it may start: ready, or (without a way to report) ended with success."""
    if unit.state is State.EXITED and not unit.spec.rules.must_report_ready:
        return unit.last_exit is not None and unit.last_exit["code"] == 0
    return unit.ready
