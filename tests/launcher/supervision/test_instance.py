"""One real process under its instance: what the life cycle decides is carried out, and what happens is told to the owner."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProbeSpec, ProcessSpec, ReadyBy
from launcher.processes.backend import Backend, SpawnError
from launcher.processes.local import LocalBackend
from launcher.runtime.log_store import LogStore
from launcher.runtime.run_dir import RunDir
from launcher.runtime.service_keys import ServiceKeys
from launcher.supervision.instance import Instance, was_killed
from launcher.supervision.spawn_requests import SpawnRequests
from launcher.supervision.states import SETTLED, State
from luabus.cluster.restart_policy import RestartPolicy
from luabus.messages import Message
from tests.launcher.harness import alive, child, until
from tests.support.fake_backend import FakeBackend

WAITS = Message("process.waits-for", what="db")


class Owner:
    """What an instance needs; lets it start at once, and remembers what it told."""

    def __init__(self, folder: Path) -> None:
        self.backend: Backend = LocalBackend(adopt=False)
        self.backend.open()
        run_dir = RunDir(folder / ".luabus")
        run_dir.prepare()
        self.requests = SpawnRequests(f"test{os.getpid()}", folder, ServiceKeys(run_dir))
        self.logs = LogStore(folder, 10**6, 1)
        self.states: list[str] = []
        self.pids: list[int] = []
        self.killed_ones: list[str] = []

    def spawned(self, instance: Instance) -> None:
        assert instance.pid is not None
        self.pids.append(instance.pid)

    def changed(self, instance: Instance, before: State) -> None:
        if instance.state is not before:
            self.states.append(str(instance.state))
        if instance.machine.waiting:
            asyncio.get_running_loop().call_soon(instance.clear)

    def killed(self, instance: Instance) -> None:
        self.killed_ones.append(instance.name)

    def absent(self, instance: Instance) -> None:
        instance.unhealthy(Message.verbatim("its loop hangs"))

    def instance(self, *words: str, **more: object) -> Instance:
        rules = LifecycleSettings(
            RestartPolicy(initial=0.02, crash_limit=3), start_timeout=10.0, stop_timeout=0.5
        )
        values: dict[str, object] = {
            "rules": rules,
            "ready_by": ReadyBy.PROBE,
            "ready": ProbeSpec("log", "^ready$"),
            **more,
        }
        spec = ProcessSpec("x.1", "x", Kind.COMMAND, tuple(child(*words)), {}, "/", **values)  # type: ignore[arg-type]
        return Instance(spec, self, self.logs.of("x.1"))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Owner]:
    made = Owner(tmp_path)
    yield made
    made.logs.close()
    made.backend.close()


async def reach(instance: Instance, *states: State) -> None:
    await asyncio.wait_for(instance.until(lambda: instance.state in states), 10)


async def test_start_ready_stop(host: Owner) -> None:
    instance = host.instance("ready", "wait")
    instance.start()
    await reach(instance, State.RUNNING)
    assert instance.ready
    assert instance.pid == host.pids[0]
    assert instance.uptime_s > 0
    instance.stop()
    await reach(instance, *SETTLED)
    assert host.states == ["starting", "running", "stopping", "exited"]
    assert (instance.pid, instance.ready, instance.last_exit and instance.last_exit["signal"]) == (
        None,
        False,
        "SIGTERM",
    )
    instance.close()


async def test_crashes_until_it_is_given_up(host: Owner) -> None:
    instance = host.instance("err=oh no", "exit=4")
    instance.start()
    await reach(instance, State.FAILED)
    assert len(host.pids) == 3
    assert instance.last_exit is not None
    assert (instance.last_exit["code"], instance.last_exit["stderr"]) == (4, ["oh no"])
    instance.close()


async def test_hurry_does_not_wait(host: Owner) -> None:
    instance = host.instance("ignore=SIGTERM", "ready", "wait", rules=LifecycleSettings(stop_timeout=600.0))
    instance.start()
    await reach(instance, State.RUNNING)
    instance.stop()
    instance.kill_now()
    await reach(instance, *SETTLED)
    assert not alive(host.pids[0])
    instance.close()


async def test_unhealthy_is_replaced(host: Owner) -> None:
    instance = host.instance("ready", "wait")
    instance.start()
    await reach(instance, State.RUNNING)
    instance.unhealthy(Message.verbatim("a test says so"))
    await reach(instance, State.STARTING)
    await reach(instance, State.RUNNING)
    assert len(host.pids) == 2
    assert instance.machine.restarts == 1
    instance.stop()
    await reach(instance, *SETTLED)
    instance.close()


async def test_another_spec_holds_from_its_next_start_on(host: Owner) -> None:
    instance = host.instance("ready", "wait")
    first = instance.spec
    instance.start()
    await reach(instance, State.RUNNING)
    second = replace(first, argv=tuple(child("ready", "say=other", "wait")), settings={"key": 1})
    instance.adopt(second)
    assert instance.spec is first
    instance.adopt(third := replace(first, depends_on=("db",)))
    assert instance.spec is third  # makes no difference to a process
    instance.adopt(second)
    instance.stop(again=True)
    await reach(instance, State.STARTING)
    assert instance.spec is second
    await reach(instance, State.RUNNING)
    instance.stop()
    await reach(instance, *SETTLED)
    instance.adopt(third)
    assert instance.spec is third
    instance.close()


async def test_stuck_is_only_who_waits(host: Owner) -> None:
    instance = host.instance("ready", "wait")
    instance.set_waiting(WAITS, stuck=True)
    assert (instance.machine.stuck, instance.machine.detail) == (False, Message("process.not-started-yet"))
    instance.machine.start(0.0)
    instance.set_waiting(WAITS, stuck=True)
    assert (instance.machine.stuck, instance.machine.detail) == (True, WAITS)
    instance.stop()
    assert not instance.machine.stuck
    instance.close()


async def test_what_cannot_be_spawned_has_failed(host: Owner) -> None:
    instance = host.instance("x", user="no-such-user")
    instance.start()
    await reach(instance, State.FAILED)
    assert "no user 'no-such-user'" in str(instance.machine.detail)
    with pytest.raises(ProcessLookupError):
        instance.signal(9)
    instance.close()


@pytest.mark.parametrize(
    "error",
    [
        SpawnError("no", passing=True),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        KeyError("x"),
    ],
)
async def test_whatever_keeps_it_from_starting_there_is_nothing_to_wait_for(
    host: Owner, error: Exception
) -> None:
    """Also the second time, with the run before still in memory."""
    backend = FakeBackend()
    instance = host.instance("x", ready=None, ready_by=ReadyBy.SPAWN)
    host.backend.close()
    host.backend = backend
    instance.start()
    await reach(instance, State.RUNNING)
    backend.error = error
    instance.stop(again=True)
    await reach(instance, State.STARTING)
    await asyncio.wait_for(instance.until(lambda: instance.last_exit is not None), 10)
    instance.stop()
    await reach(instance, *SETTLED)
    assert instance.pid is None
    instance.close()


async def test_one_that_is_stopping_without_a_process_is_gone_at_once(host: Owner) -> None:
    instance = host.instance("ready", "wait", rules=LifecycleSettings(stop_timeout=600.0))
    instance.start()
    await reach(instance, State.RUNNING)
    assert instance.run is not None
    instance.run.over = True  # should it be missed some day that it ended
    instance.stop()
    await reach(instance, *SETTLED)
    instance.run.kill_all()
    instance.close()
    await asyncio.to_thread(until, lambda: not alive(host.pids[0]), "its end")


async def test_that_it_was_killed_is_told_to_its_owner(host: Owner) -> None:
    rules = LifecycleSettings(stop_timeout=0.05)
    instance = host.instance("ignore=SIGTERM", "ready", "wait", rules=rules)
    instance.start()
    await reach(instance, State.RUNNING)
    instance.stop(again=True)
    await reach(instance, State.STARTING)
    assert str(was_killed(instance)) == "x.1 did not end within 0.05 s and was killed"
    assert host.killed_ones == ["x.1"]
    await reach(instance, State.RUNNING)
    instance.stop()
    assert was_killed(instance) is None, "that was the time before"
    await reach(instance, *SETTLED)
    assert str(instance.machine.detail) == "stopped; did not end within 0.05 s and was killed"
    instance.close()
