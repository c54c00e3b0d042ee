"""One supervised process: the shell around its `Lifecycle`. Spawns, signals, sweeps up, and reports what happened.

A process is gone when nothing of its family lives. So when it ends, whatever it left behind is ended too (asked with
the stop signal, after stop_timeout with SIGKILL) before the machine hears `gone`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from launcher.plan.spec import Kind, ProcessSpec, ReadyBy
from launcher.processes import process_tree
from launcher.processes.exit_status import ExitStatus, signal_name
from launcher.processes.posix import Child, PosixSpawner, SpawnError, SpawnRequest, ThreadSpawner
from launcher.runtime.log_files import utc_now
from launcher.runtime.log_store import ProcessLog
from launcher.supervision.lifecycle import STOPPED, Action, Lifecycle
from launcher.supervision.probes import Prober, Verdicts
from launcher.supervision.states import State
from luabus.messages import Message

SWEEP_FIRST_S: Final = 0.005
SWEEP_LONGEST_S: Final = 0.25
"""How often the family of an ended process is looked at until it is empty: soon at first, then less often."""


class InstanceOwner(Protocol):
    """What a unit needs of its supervisor."""

    spawner: PosixSpawner | ThreadSpawner

    def environment(self, spec: ProcessSpec) -> Mapping[str, str]:
        """The complete environment of a new process."""

    def spawned(self, instance: Instance) -> None:
        """A process was started: it must be recorded before anything else can happen."""

    def changed(self, instance: Instance, before: State) -> None:
        """The unit's state (`before`: what it was when last told), readiness or detail is another one."""

    def missed(self, instance: Instance) -> None:
        """It is on no router for longer than it may be: answer with `unhealthy`, or with `spare`."""


class Instance:
    """One process of the cluster. `machine` and the attributes are for reading; change it through the methods."""

    def __init__(
        self,
        spec: ProcessSpec,
        host: InstanceOwner,
        log: ProcessLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        """What its process was started from; without one, what the next will be."""
        self.machine = Lifecycle(spec.rules, random.random)
        self.log = log
        self.ready = False
        """Ready at this moment; `running` means it was ready once in this run."""
        self.last_exit: dict[str, Any] | None = None
        self.spawned_at = 0.0
        self._host = host
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._main_alive = False
        self._killing = False
        self._prober: Prober | None = None
        self._started_up = False
        self._reported = False
        self._timer: asyncio.TimerHandle | None = None
        self._absence: asyncio.TimerHandle | None = None
        self._spared = False
        self._sweeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._stuck = False
        self._next_spec = spec
        self._told = self._present()

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def pid(self) -> int | None:
        """The process, while it lives."""
        return self._child.pid if self._child is not None and self._main_alive else None

    @property
    def started(self) -> float | None:
        """When the process started, as `family.started_at` tells it."""
        return self._child.started if self._child is not None else None

    @property
    def uptime_s(self) -> float:
        return self._clock() - self.spawned_at if self.pid is not None else 0.0

    @property
    def restarts_left(self) -> int:
        """After how many more crashes, if they came now, it would be started again."""
        return self.machine.restarts_left(self._clock())

    @property
    def stuck(self) -> bool:
        """It waits to start, for something that does not come by itself; the detail says what a person has to do."""
        return self._stuck and self.machine.waiting

    async def until(self, settled: Callable[[], bool]) -> None:
        """Waits until `settled()`, asked anew at each change of this unit. Cancelling is harmless."""
        while not settled():
            self._changed.clear()
            await self._changed.wait()

    # -- verbs ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Wants it up; it waits for `clear`."""
        self._step(self.machine.start)

    def clear(self) -> None:
        """It may start now."""
        self._step(self.machine.clear)

    def stop(self, why: Message = STOPPED, *, again: bool = False) -> None:
        """Wants it down; with `again`, then up."""
        self._step(lambda now: self.machine.stop(now, why, again=again))

    def kill_now(self) -> None:
        """SIGKILL to what is stopping."""
        self._step(lambda _: self.machine.kill_now())

    def unhealthy(self, why: Message) -> None:
        """Replaces it, as after a crash."""
        self.log.say(f"is replaced: {why}")
        self._step(lambda now: self.machine.unhealthy(now, why))

    def signal(self, number: int) -> None:
        """Sends a signal to the process alone. Raises ProcessLookupError when there is none."""
        if self.pid is None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def set_waiting(self, detail: Message, *, stuck: bool) -> None:
        """What it waits for, while it waits; see `stuck`."""
        if self.machine.waiting:
            self.machine.detail = detail
            self._stuck = stuck
            self._tell()

    def adopt(self, spec: ProcessSpec) -> None:
        """From its next start on it is run as `spec` says; at once, where that makes no difference to a process."""
        self._next_spec = spec
        if not self.machine.has_process or spec.settings == self.spec.settings:
            self._turn_over()

    def set_report(self, ready: bool, *, absent: bool = False) -> None:
        """What the bus (or the router itself) says: ready at every connected router; `absent` from all of them."""
        self._reported = ready
        if ready or not absent:
            self._forget_absence()
        else:
            self._expect()
        self._assess()

    def spare(self, why: str) -> None:
        """It is absent with a reason; is looked at again after another `liveness_timeout`."""
        if not self._spared:
            self._spared = True
            self.log.say(why)
        self._expect()

    def _expect(self) -> None:
        if self._absence is None and self.spec.liveness_timeout > 0 and self.state is State.RUNNING:
            self._absence = self._loop.call_later(self.spec.liveness_timeout, self._missed)

    async def close(self) -> None:
        """Ends timers and tasks; the process, if any, is left alone."""
        self._forget_absence()
        if self._timer is not None:
            self._timer.cancel()
        self._end_probes()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        self.log.close()

    # -- what the process does (a Sink) -----------------------------------------------------------------------

    def output(self, stream: str, chunk: bytes) -> None:
        lines = self.log.feed(stream, chunk)
        if self._prober is not None:
            for line in lines:
                self._prober.line(line)

    def exited(self, status: ExitStatus) -> None:
        self._main_alive = False
        self._end_probes()
        self._forget_absence()
        self.log.flush()
        unasked = self.state is not State.STOPPING
        if unasked or not status.success:
            self.log.say(f"ended: {status}")
        stderr = list(self.log.last_words) if unasked and not status.success else []
        self.last_exit = {**status.as_map(), "time": utc_now(), "stderr": stderr}
        remaining = self._family(fresh=True)
        if remaining:
            self.log.say(f"left {len(remaining)} processes behind: {', '.join(map(str, sorted(remaining)))}")
            self._sweeper = self._loop.create_task(self._sweep(), name=f"sweep after {self.name}")
        else:
            self._release()
        self._step(lambda now: self.machine.exited(now, status, len(remaining)))

    # -- within -----------------------------------------------------------------------------------------------

    def _step(self, event: Callable[[float], tuple[Action, ...]]) -> None:
        for action in event(self._clock()):
            if action is Action.SPAWN:
                self._spawn()
            elif action is Action.TERMINATE:
                self._terminate()
            else:
                self._kill()
        if self._next_spec is not self.spec and not self.machine.has_process:
            self._turn_over()
        self._arm()
        self._assess()
        self._tell()

    def _turn_over(self) -> None:
        before, self.spec = self.spec, self._next_spec
        self.machine.adopt(self.spec.rules, wait_again=self.spec.depends_on != before.depends_on)

    def _present(self) -> tuple[State, Message | None, bool, bool, bool]:
        return self.machine.state, self.machine.detail, self.ready, self.machine.wanted, self.stuck

    def _tell(self) -> None:
        present = self._present()
        if present != self._told:
            before, self._told = self._told[0], present
            self._changed.set()
            self._host.changed(self, before)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.deadline
        if deadline is not None:
            self._timer = self._loop.call_later(
                max(deadline - self._clock(), 0), self._step, self.machine.due
            )

    def _assess(self) -> None:
        by, alive = self.spec.ready_by, self._main_alive and self.state in (State.STARTING, State.RUNNING)
        ready = alive and self._started_up and (by is ReadyBy.SPAWN or self._reported)
        if ready == self.ready:
            return
        self.ready = ready
        if ready and self.state is State.STARTING:
            self._step(self.machine.ready)
        else:
            self._tell()

    def _spawn(self) -> None:
        spec = self.spec
        self._killing = self._reported = False
        self.log.new_run()
        order = SpawnRequest(
            spec.argv, self._host.environment(spec), spec.cwd, spec.user, spec.nice, spec.rlimits
        )
        try:
            self._child = self._host.spawner.spawn(order, self)
        except SpawnError as error:
            reason = str(error)
            self.log.say(f"could not be started: {reason}")
            self.last_exit = {"code": None, "signal": None, "text": reason, "time": utc_now(), "stderr": []}
            self._step(lambda now: self.machine.spawn_failed(now, reason))
            return
        self._main_alive = True
        self.spawned_at = self._clock()
        self._host.spawned(self)
        self._started_up = spec.startup is None
        if spec.startup or spec.ready or spec.liveness:
            verdicts = Verdicts(self._startup_succeeded, self._probed, self.unhealthy)
            self._prober = Prober(spec, verdicts, self._execute)
        # Ready at once, where nothing else has to show it; after this step, which is still on its way to `starting`.
        self._loop.call_soon(self._assess)

    def _startup_succeeded(self) -> None:
        self._started_up = True
        self._assess()

    def _probed(self, ready: bool, failure: str) -> None:
        if not ready:
            self.log.say(f"is not ready any more: {failure}")
        self.set_report(ready)

    def _missed(self) -> None:
        self._absence = None
        self._host.missed(self)

    def _forget_absence(self) -> None:
        self._spared = False
        if self._absence is not None:
            self._absence.cancel()
            self._absence = None

    def _end_probes(self) -> None:
        if self._prober is not None:
            self._prober.close()
            self._prober = None

    async def _execute(self, command: tuple[str, ...], timeout_s: float) -> str:
        """Runs an exec probe beside the process, in its folder and environment."""
        sink = _Run(self._loop.create_future())
        order = SpawnRequest(command, self._host.environment(self.spec), self.spec.cwd, self.spec.user)
        try:
            child = self._host.spawner.spawn(order, sink)
        except SpawnError as error:
            return str(error)
        try:
            async with asyncio.timeout(timeout_s):
                status = await asyncio.shield(sink.ended)
        except TimeoutError:
            return f"{command[0]} did not end within {timeout_s:g} s"
        finally:
            if not sink.ended.done():
                _signal_group(child.pid, process_tree.KILL)
            child.close()
        return "" if status.success else f"{command[0]} ended with {status}"

    # -- ending it --------------------------------------------------------------------------------------------

    def _terminate(self) -> None:
        number = self.spec.stop_signal
        if self._child is None:
            return
        if self._main_alive:
            if self.spec.kind is Kind.COMMAND and number != signal.SIGTERM:
                self.log.say(f"is sent {signal_name(number)}")
            _signal_group(self._child.pid, number)
        else:
            process_tree.send(self._family(), number)
        if hasattr(signal, "SIGCONT"):
            # A stopped process would not see the signal before somebody continues it.
            _signal_group(self._child.pid, signal.SIGCONT)

    def _kill(self) -> None:
        self._killing = True
        if self._child is not None:
            self.log.say("did not end in time: SIGKILL")
            if self._main_alive:
                _signal_group(self._child.pid, process_tree.KILL)
            process_tree.send(self._family(), process_tree.KILL)

    def _family(self, *, fresh: bool = False) -> set[int]:
        if self._child is None:
            return set()
        spawner = self._host.spawner
        if not self._main_alive and spawner.strangers() == set():
            return set()  # all orphans come to us, and there are none
        adopter = os.getpid() if spawner.adopts else None
        marker = self._host.environment(self.spec).get(process_tree.MARKER)
        census = spawner.census
        everyone = census.everyone(fresh=fresh)
        return process_tree.members(
            everyone, self._child.pid, self._child.started, marker, adopter, census.marks_of
        )

    async def _sweep(self) -> None:
        pause = SWEEP_FIRST_S
        while remaining := self._family():
            if self._killing:
                process_tree.send(remaining, process_tree.KILL)
            await asyncio.sleep(pause)
            pause = min(pause * 2, SWEEP_LONGEST_S)
        self._sweeper = None
        self._release()
        self._step(self.machine.gone)

    def _release(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        self.log.flush()


class _Run:
    """A Sink that only wants the end."""

    def __init__(self, ended: asyncio.Future[ExitStatus]) -> None:
        self.ended = ended

    def output(self, stream: str, chunk: bytes) -> None:
        """A probe's output is of no interest."""

    def exited(self, status: ExitStatus) -> None:
        if not self.ended.done():
            self.ended.set_result(status)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
