"""One real process under its unit: what the machine decides is carried out, and what happens is told to the host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.family import MARKER
from launcher.logs import LogStore
from launcher.machine import Rules
from launcher.policy import RestartPolicy
from launcher.process import PosixSpawner
from launcher.spec import Kind, ProbeSpec, ProcessSpec, ReadyBy
from launcher.states import SETTLED, State
from launcher.unit import Unit
from tests.launcher.harness import alive, child


class Host:
    """What a unit needs; lets it start at once, and remembers what it told."""

    def __init__(self, folder: Path) -> None:
        self.spawner = PosixSpawner(asyncio.get_running_loop(), adopt=False)
        self.logs = LogStore(folder, 10**6, 1)
        self.states: list[str] = []
        self.pids: list[int] = []

    def environment(self, spec: ProcessSpec) -> Mapping[str, str]:
        return {**os.environ, MARKER: f"test{os.getpid()}/{spec.name}"}

    def spawned(self, unit: Unit) -> None:
        assert unit.pid is not None
        self.pids.append(unit.pid)

    def changed(self, unit: Unit, before: State) -> None:
        if unit.state is not before:
            self.states.append(str(unit.state))
        if unit.machine.waiting:
            asyncio.get_running_loop().call_soon(unit.clear)

    def missed(self, unit: Unit) -> None:
        unit.unhealthy("its loop hangs")

    def unit(self, *words: str, **more: object) -> Unit:
        rules = Rules(RestartPolicy(initial=0.02, crash_limit=3), start_timeout=10.0, stop_timeout=0.5)
        values: dict[str, object] = {
            "rules": rules,
            "ready_by": ReadyBy.PROBE,
            "ready": ProbeSpec("log", "^ready$"),
            **more,
        }
        spec = ProcessSpec("x.1", "x", Kind.COMMAND, tuple(child(*words)), {}, "/", **values)  # type: ignore[arg-type]
        return Unit(spec, self, self.logs.of("x.1"))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(tmp_path)
    yield made
    made.logs.close()
    made.spawner.close()


async def reach(unit: Unit, *states: State) -> None:
    await asyncio.wait_for(unit.until(lambda: unit.state in states), 10)


async def test_start_ready_stop(host: Host) -> None:
    unit = host.unit("ready", "wait")
    unit.start()
    await reach(unit, State.RUNNING)
    assert unit.ready
    assert unit.pid == host.pids[0]
    assert unit.uptime_s > 0
    unit.stop()
    await reach(unit, *SETTLED)
    assert host.states == ["starting", "running", "stopping", "exited"]
    assert (unit.pid, unit.ready, unit.last_exit and unit.last_exit["signal"]) == (None, False, "SIGTERM")
    await unit.close()


async def test_crashes_until_it_is_given_up(host: Host) -> None:
    unit = host.unit("err=oh no", "exit=4")
    unit.start()
    await reach(unit, State.FAILED)
    assert len(host.pids) == 3
    assert unit.last_exit is not None
    assert (unit.last_exit["code"], unit.last_exit["stderr"]) == (4, ["oh no"])
    await unit.close()


async def test_hurry_does_not_wait(host: Host) -> None:
    unit = host.unit("ignore=SIGTERM", "ready", "wait", rules=Rules(stop_timeout=600.0))
    unit.start()
    await reach(unit, State.RUNNING)
    unit.stop()
    unit.hurry()
    await reach(unit, *SETTLED)
    assert not alive(host.pids[0])
    await unit.close()


async def test_unhealthy_is_replaced(host: Host) -> None:
    unit = host.unit("ready", "wait")
    unit.start()
    await reach(unit, State.RUNNING)
    unit.unhealthy("a test says so")
    await reach(unit, State.STARTING)
    await reach(unit, State.RUNNING)
    assert len(host.pids) == 2
    assert unit.machine.restarts == 1
    unit.stop()
    await reach(unit, *SETTLED)
    await unit.close()


async def test_another_spec_holds_from_its_next_start_on(host: Host) -> None:
    unit = host.unit("ready", "wait")
    first = unit.spec
    unit.start()
    await reach(unit, State.RUNNING)
    second = replace(first, argv=tuple(child("ready", "say=other", "wait")), settings={"key": 1})
    unit.adopt(second)
    assert unit.spec is first
    unit.adopt(third := replace(first, depends_on=("db",)))
    assert unit.spec is third  # makes no difference to a process
    unit.adopt(second)
    unit.stop(again=True)
    await reach(unit, State.STARTING)
    assert unit.spec is second
    await reach(unit, State.RUNNING)
    unit.stop()
    await reach(unit, *SETTLED)
    unit.adopt(third)
    assert unit.spec is third
    await unit.close()


async def test_stuck_is_only_who_waits(host: Host) -> None:
    unit = host.unit("ready", "wait")
    unit.set_waiting("waits for db", stuck=True)
    assert (unit.stuck, unit.machine.detail) == (False, "not started yet")
    unit.machine.start(0.0)
    unit.set_waiting("waits for db", stuck=True)
    assert (unit.stuck, unit.machine.detail) == (True, "waits for db")
    unit.stop()
    assert not unit.stuck
    await unit.close()


async def test_what_cannot_be_spawned_has_failed(host: Host) -> None:
    unit = host.unit("x", user="no-such-user")
    unit.start()
    await reach(unit, State.FAILED)
    assert "no user 'no-such-user'" in unit.machine.detail
    with pytest.raises(ProcessLookupError):
        unit.signal(9)
    await unit.close()
