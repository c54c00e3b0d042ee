"""The cluster's processes as a whole: it carries out who starts when and who stops after whom.

`_advance` runs (once per loop iteration) after anything changed: it lets instances start whose dependencies are ready, and
while the cluster stops, ends those nobody needs any more; which these are `scheduler.py` decides. What people ask for is in
`operations.py`; the command line, the HTTP API and the dashboard reach it over the control channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import Callable
from typing import Any, Final

from launcher.errors import suggest
from launcher.plan.plan import Plan
from launcher.plan.spec import Kind, ReadyBy
from launcher.processes.backend import Backend
from launcher.runtime.log_store import LogStore
from launcher.runtime.run_dir import RunDir
from launcher.runtime.service_keys import ServiceKeys
from launcher.supervision.bus_presence import BusWatch
from launcher.supervision.event_log import EventLog
from launcher.supervision.instance import Instance, was_killed
from launcher.supervision.scheduler import nobody_needs, schedule
from launcher.supervision.spawn_requests import SpawnRequests
from launcher.supervision.states import SETTLED, State
from luabus.errors import LuabusError, Refused
from luabus.messages import Message

RSS_PERIOD_S: Final = 5.0
"""How often memory is compared with max_rss."""
CLUSTER_STOPS: Final = Message("process.the-cluster-stops")

STRAYS_S: Final = 5.0
"""For orphans of which nothing tells whose they were to be gone after SIGKILL: one of another user, or that the kernel holds,
must not hold up `down`."""


class Supervisor:
    """Owns the instances. Made inside a running loop; `start`, then `await stopped()`, then `await close()`.

    `backend` starts their processes; `watch_bus` makes what listens to the routers.
    """

    def __init__(
        self,
        plan: Plan,
        run_dir: RunDir,
        backend: Backend,
        watch_bus: Callable[..., BusWatch] = BusWatch,
    ) -> None:
        self.plan = plan
        self.run_dir = run_dir
        self.run_id = uuid.uuid4().hex
        self.events = EventLog(run_dir)
        logs = plan.config.logs
        self.logs = LogStore(run_dir.log_dir, logs.max_size, logs.keep)
        self._loop = asyncio.get_running_loop()
        self.started_at = self._loop.time()
        self.backend = backend
        self.backend.open()
        self.keys = ServiceKeys(run_dir)
        self.requests = SpawnRequests(self.run_id, plan.base, self.keys)
        self._watch_bus = watch_bus
        self.instances: dict[str, Instance] = {}
        self.stopping = False
        self.exit_code = 0
        self.abort_on_failure = False
        """Whether whatever has failed for good takes the cluster with it, not only what is essential."""
        self.overdue = False
        """Whether it was told that not all came up, and one that was told of may come up yet."""
        self.why_stopped: Message | None = None
        self.killed_at_stop: list[Message] = []
        """What did not end when the cluster stopped, and was killed."""
        self.watch: BusWatch | None = None
        """What the routers say; None before `start` and at the very end."""
        self._advance_soon: asyncio.Handle | None = None
        self._slot_timer: asyncio.TimerHandle | None = None
        self._all_gone = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._observers: list[Callable[[], None]] = []
        self.adopt_plan(plan)

    # -- life of the cluster ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Wants everything up; returns at once."""
        starts = Message("run.starts", name=self.plan.name, count=len(self.instances))
        self.events.add("cluster", "", starts)
        for instance in self.instances.values():
            instance.start()  # before anything is awaited: a status asked for meanwhile must not find all well
        self._soon()
        await self.rewatch()
        self.run_task(self._watch_memory(), "memory")

    def stop(self, why: Message, exit_code: int = 0) -> None:
        """Stops everything in reverse order. A second call changes nothing but a zero exit code. The exit code is 1 also when
        something has failed for good, or did not come up in time, and was not repaired."""
        self.exit_code = self.exit_code or exit_code
        if self.stopping:
            return
        failed = any(one.state is State.FAILED or one.machine.stuck for one in self.instances.values())
        if failed or self.overdue:
            self.exit_code = self.exit_code or 1
        self.stopping = True
        self.why_stopped = why
        self.events.add("cluster", "", Message("run.stops", why=why))
        self._soon()

    def kill_now(self, exit_code: int = 0) -> None:
        """No more waiting: SIGKILL to all."""
        self.stop(Message("run.in-a-hurry"), exit_code)
        self.events.add("cluster", "", Message("run.kills-all-that-remain"))
        for instance in list(self.instances.values()):
            instance.stop(CLUSTER_STOPS)
            instance.kill_now()

    async def stopped(self) -> int:
        """Waits until everything is gone after `stop`; the exit code."""
        await self._all_gone.wait()
        return self.exit_code

    async def close(self) -> None:
        """Releases everything this holds; call it after `stopped`."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.watch is not None:
            await self.watch.close()
        for instance in self.instances.values():
            instance.close()
        if self._advance_soon is not None:
            self._advance_soon.cancel()
        if self._slot_timer is not None:
            self._slot_timer.cancel()
        if left := await self.backend.end_strays(STRAYS_S):
            pids = ", ".join(map(str, left))
            self.events.add("cluster", "", Message("run.outlived-by", pids=pids))
        self.backend.close()
        self.events.add("cluster", "", Message("run.has-stopped"))
        self.logs.close()
        self.events.close()
        with contextlib.suppress(OSError):
            self.run_dir.remove_record(self.run_dir.processes_file, os.getpid())

    def run_task(self, work: Any, name: str) -> asyncio.Task[Any]:
        """Runs a coroutine that ends with the supervisor at the latest."""
        task: asyncio.Task[Any] = self._loop.create_task(work, name=name)
        self._tasks.add(task)

        def ended(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, LuabusError):  # who asked was told of those
                self.logs.of("launcher").say(f"{name} ended: {type(error).__name__}: {error}")

        task.add_done_callback(ended)
        return task

    def observe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Calls `observer` after any process changed; the returned function ends that."""
        self._observers.append(observer)

        def stop() -> None:
            with contextlib.suppress(ValueError):
                self._observers.remove(observer)

        return stop

    # -- the plan ---------------------------------------------------------------------------------------------

    def adopt_plan(self, plan: Plan) -> None:
        """From now on `plan` is what is meant. Makes instances for new processes, in the plan's order; starts and stops nothing.

        A process that runs is what it was until its next start. Instances that are not in the plan stay until `forget`.
        """
        self.plan = plan
        _write_cluster_file(self)
        self._make_instances()
        for spec in plan.specs:
            self.instances[spec.name].adopt(spec)
        self._soon()

    def forget(self, name: str) -> None:
        """Drops a settled instance. Should the plan have come back to it meanwhile, a fresh one takes its place."""
        self.instances.pop(name).close()
        self._make_instances()
        self._soon()

    def _make_instances(self) -> None:
        present = {
            spec.name: self.instances.get(spec.name) or Instance(spec, self, self.logs.of(spec.name))
            for spec in self.plan.specs
        }
        self.instances = {
            **present,
            **{name: instance for name, instance in self.instances.items() if name not in present},
        }

    async def tell_routers(self) -> None:
        """Tells the routers that run what the plan says of groups and permissions; those that come later are told then."""
        if self.watch is not None:
            await self.watch.configure(self.plan.document)

    async def rewatch(self) -> None:
        """(Re)connects to the routers of the plan."""
        old = self.watch
        self.watch = self._watch_bus(self.plan.routers, self.plan.groups, self.run_dir.security(), self._soon)
        await self.tell_routers()
        await self.watch.start()
        if old is not None:
            await old.close()

    # -- names ------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> list[Instance]:
        """The instances of a service or instance name, in order. `2.1` is a name, too. Raises `Refused`, with a suggestion."""
        if name in self.instances:
            return [self.instances[name]]
        instances = [
            instance
            for instance in self.instances.values()
            if name in (instance.spec.service, instance.spec.service_id)
        ]
        if not instances:
            services = {instance.spec.service for instance in self.instances.values()}
            known = {*self.instances, *services}
            raise Refused.coded(Message("refusal.no-such-process", name=name, hint=suggest(name, known)))
        return instances

    # -- what instances ask of their owner -------------------------------------------------------------------------

    def spawned(self, instance: Instance) -> None:
        """Records all processes, for whoever cleans up after a crash of the launcher."""
        self.record()
        started = Message("process.started", pid=instance.pid)
        self.events.add("process", instance.name, started, pid=instance.pid)

    def record(self) -> None:
        """Writes processes.json; a full disk is no reason to stop."""
        entries = [
            {"name": instance.name, "pid": run.identity.pid, "started": run.identity.started}
            for instance in self.instances.values()
            if (run := instance.run) is not None and run.alive
        ]
        with contextlib.suppress(OSError, MemoryError):
            self.run_dir.write_record(self.run_dir.processes_file, {"run": self.run_id, "processes": entries})

    def changed(self, instance: Instance, before: State) -> None:
        """An instance is not what it was."""
        machine = instance.machine
        if machine.state is not before:
            states = {"before": Message(f"state.{before}"), "state": Message(f"state.{machine.state}")}
            if machine.detail is None:
                changed = Message("process.changed", **states)
            else:
                changed = Message("process.changed-for", **states, why=machine.detail)
            self.events.add("state", instance.name, changed, state=str(machine.state))
            essential = instance.spec.essential
            if machine.state is State.FAILED and (essential or self.abort_on_failure) and not self.stopping:
                code = "run.essential-has-failed" if essential else "run.has-failed"
                self.stop(Message(code, name=instance.name, why=machine.detail or ""), 1)
        self._soon()

    # -- deciding ---------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        if self._advance_soon is None:
            self._advance_soon = self._loop.call_soon(self._advance)

    async def considered(self) -> None:
        """Returns after it was looked anew at who may start, and who waits for what."""
        looked = asyncio.Event()
        unobserve = self.observe(looked.set)
        self._soon()
        try:
            await looked.wait()
        finally:
            unobserve()

    def _advance(self) -> None:
        self._advance_soon = None
        self._spread_reports()
        if self.stopping:
            self._advance_stop()
        else:
            self._advance_start()
        for observer in list(self._observers):
            observer()

    def _spread_reports(self) -> None:
        watch = self.watch
        if watch is None:
            return
        watch.snapshot(self.plan.name)  # from now on it lasts, what just began
        for instance in list(self.instances.values()):
            spec, run = instance.spec, instance.run
            if run is None:
                continue
            if spec.ready_by is ReadyBy.ROUTER:
                run.report(spec.name in watch.connected, absent=False)
            elif spec.ready_by is ReadyBy.BUS and spec.group is not None:
                # While no router is connected nobody can be reached, and nobody is absent.
                presence = watch.presence(spec.group, spec.instance)
                run.report(presence.everywhere, absent=presence.nowhere)

    def killed(self, instance: Instance) -> None:
        """It did not end within its stop_timeout."""
        if (told := was_killed(instance)) is not None:
            self.events.add("process", instance.name, told)
            if self.stopping:
                self.killed_at_stop.append(told)

    def absent(self, instance: Instance) -> None:
        """Registered nowhere: taken out of the routing tables by hand, or hung."""
        self.run_task(self._judge_absence(instance), f"judgement of {instance.name}")

    async def _judge_absence(self, instance: Instance) -> None:
        spec, run = instance.spec, instance.run
        if self.watch is None or spec.group is None or run is None:
            return
        connected = await self.watch.is_connected(spec.group, spec.instance)
        if instance.paused or instance.run is not run:
            return  # meanwhile its silence has another reason
        if connected:
            run.excuse("is in no routing table, but connected: it was taken out by hand, and is left alone")
        elif not self.watch.presence(spec.group, spec.instance).registered:
            instance.unhealthy(Message("process.on-no-router-for", seconds=f"{spec.liveness_timeout:g}"))

    def _advance_start(self) -> None:
        turns = schedule([instance.record() for instance in self.instances.values()], self._loop.time())
        for waiting in turns.waiting:
            self.instances[waiting.name].set_waiting(waiting.why, stuck=waiting.stuck)
        for name in turns.start:
            self.instances[name].clear()
        if self._slot_timer is not None:
            self._slot_timer.cancel()
        again_at = turns.again_at
        self._slot_timer = None if again_at is None else self._loop.call_at(again_at, self._soon)

    def _advance_stop(self) -> None:
        alive = [instance for instance in self.instances.values() if instance.state not in SETTLED]
        if not alive:
            self._all_gone.set()
            return
        if self.watch is not None and all(instance.spec.kind is Kind.ROUTER for instance in alive):
            # Routers wait for their last clients; let us not be one of those.
            watch, self.watch = self.watch, None
            self.run_task(watch.close(), "close of the bus watch")
        for instance in alive:
            if instance.state is State.STOPPING:
                if instance.machine.wanted:
                    instance.stop(CLUSTER_STOPS)
            elif nobody_needs(instance.spec, [other.spec for other in alive]):
                instance.stop(CLUSTER_STOPS)

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(RSS_PERIOD_S)
            for instance in list(self.instances.values()):
                limit = instance.spec.max_rss
                if limit and (rss := instance.usage().rss_bytes) > limit:
                    instance.unhealthy(Message("process.exceeds-max-rss", rss=rss, limit=limit))


def _write_cluster_file(supervisor: Supervisor) -> None:
    """A router that starts reads it. A full disk is no reason to stop: who runs is told all the same."""
    file = supervisor.run_dir.cluster_file
    try:
        supervisor.run_dir.write(file, json.dumps(supervisor.plan.document))
    except OSError as error:
        supervisor.logs.of("launcher").say(f"{file} cannot be written: {error.strerror}")
