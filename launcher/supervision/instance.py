"""One supervised instance: the shell around its `Lifecycle`. Spawns and ends its process, and reports what happened.

A process is gone when nothing of its tree lives. So when it ends, whatever it left behind is ended too (asked with
the stop signal, after stop_timeout with SIGKILL) before the life cycle hears `gone`.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from launcher.plan.spec import ProcessSpec
from launcher.processes.backend import Backend, SpawnError, passes
from launcher.processes.exit_status import ExitStatus
from launcher.processes.usage import Usage
from launcher.runtime.log_files import utc_now
from launcher.runtime.log_store import ProcessLog
from launcher.supervision.lifecycle import STOPPED, Action, Lifecycle
from launcher.supervision.process_run import ProcessRun, RunListener
from launcher.supervision.record import ByHand, InstanceRecord
from launcher.supervision.spawn_requests import SpawnRequests
from launcher.supervision.states import State
from luabus.messages import Message


class InstanceOwner(Protocol):
    """What an instance needs of its supervisor."""

    backend: Backend
    requests: SpawnRequests

    def spawned(self, instance: Instance) -> None:
        """A process was started: it must be recorded before anything else can happen."""

    def changed(self, instance: Instance, before: State) -> None:
        """Its state (`before`: what it was when last told), readiness or detail is another one."""

    def killed(self, instance: Instance) -> None:
        """It did not end within its stop_timeout, and gets SIGKILL."""

    def absent(self, instance: Instance) -> None:
        """It is on no router for longer than it may be: answer with `unhealthy`, or with `run.excuse`."""


class Instance:
    """One process of the cluster. `machine` and the attributes are for reading; change it through the methods."""

    def __init__(self, spec: ProcessSpec, owner: InstanceOwner, log: ProcessLog) -> None:
        self.spec = spec
        """What its process was started from; without one, what the next will be."""
        self.machine = Lifecycle(spec.rules, random.random)
        self.log = log
        self.ready = False
        """Ready at this moment; `running` means it was ready once in this run."""
        self.last_exit: dict[str, Any] | None = None
        self.spawned_at = 0.0
        self.by_hand: ByHand | None = None
        self.run: ProcessRun | None = None
        """The present process, or the last one."""
        self._probes_run: set[tuple[str, ...]] = set()
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._next_spec = spec
        self._told = self.record()

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def shown_state(self) -> str:
        """The state, or what a person did to a process that lives."""
        return (
            self.by_hand.deed
            if self.by_hand is not None and self.pid is not None and self.machine.wanted
            else str(self.state)
        )

    @property
    def pid(self) -> int | None:
        """What people call the process by, while it lives."""
        return self.run.identity.pid if self.run is not None and self.run.alive else None

    @property
    def uptime_s(self) -> float:
        return self._loop.time() - self.spawned_at if self.pid is not None else 0.0

    def usage(self) -> Usage:
        """Of the process, all zero without one."""
        return self.run.usage() if self.run is not None else Usage()

    def record(self) -> InstanceRecord:
        """What it is at this moment."""
        machine = self.machine
        return InstanceRecord(
            spec=self.spec,
            state=machine.state,
            detail=machine.detail,
            wanted=machine.wanted,
            ready=self.ready,
            waiting=machine.waiting,
            returning=machine.returning,
            stuck=machine.stuck,
            completed=machine.completed,
            looping=machine.crashes_in_a_row >= self.spec.rules.restart.crash_limit,
            lacking=lacking_of(self),
            has_process=machine.has_process,
            spawned_at=self.spawned_at,
            last_exit=self.last_exit,
            by_hand=self.by_hand,
        )

    async def until(self, settled: Callable[[], bool]) -> None:
        """Waits until `settled()`, asked anew at each change of this instance. Cancelling is harmless."""
        while not settled():
            self._changed.clear()
            await self._changed.wait()

    # -- verbs ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Wants it up; it waits for `clear`."""
        self.by_hand = None
        self._step(self.machine.start)

    def clear(self) -> None:
        """It may start now."""
        self._step(self.machine.clear)

    def stop(
        self, why: Message = STOPPED, *, again: bool = False, by: str | None = None, deed: str = "stopped"
    ) -> None:
        """Wants it down; with `again`, then up. `by`: who wants it to stay down, by hand, or has it `lent`."""
        if by is not None or again:
            self.by_hand = None if by is None else ByHand(deed, by)
        self._step(lambda now: self.machine.stop(now, why, again=again))

    def kill_now(self) -> None:
        """SIGKILL to what is stopping."""
        self._step(lambda _: self.machine.kill_now())

    def unhealthy(self, why: Message) -> None:
        """Replaces it, as after a crash."""
        self.log.say(f"is replaced: {why}")
        self._step(lambda now: self.machine.unhealthy(now, why))

    def signal(self, number: int) -> None:
        """Sends a signal to the process alone; SIGCONT ends a pause. Raises ProcessLookupError when there is none."""
        if self.run is None:
            raise ProcessLookupError
        self.run.signal(number)
        if self.paused and number == signal.SIGCONT:
            self.by_hand = None
            self.run.go_on()
            self._tell()

    @property
    def paused(self) -> bool:
        """A person made its process stand still."""
        return self.by_hand is not None and self.by_hand.deed == "paused"

    def pause(self, number: int, by: str) -> None:
        """Makes its process stand still by this signal, until it gets SIGCONT. Raises ProcessLookupError when there is none."""
        self.signal(number)
        self.by_hand = ByHand("paused", by)
        if self.run is not None:
            self.run.suspend()
        self._tell()

    def set_waiting(self, detail: Message, *, stuck: bool) -> None:
        """As `Lifecycle.await_turn`."""
        self.machine.await_turn(detail, stuck=stuck)
        self._tell()

    def adopt(self, spec: ProcessSpec) -> None:
        """From its next start on it is run as `spec` says; at once, where that makes no difference to a process."""
        self._next_spec = spec
        if not self.machine.has_process or spec.settings == self.spec.settings:
            self._turn_over()

    def close(self) -> None:
        """Ends timers and probes; the process, if any, is left alone."""
        if self._timer is not None:
            self._timer.cancel()
        if self.run is not None:
            self.run.close()
        self.log.close()

    # -- within -----------------------------------------------------------------------------------------------

    def _step(self, event: Callable[[float], tuple[Action, ...]]) -> None:
        for action in event(self._loop.time()):
            if action is Action.SPAWN:
                self._spawn()
            elif self.run is None or self.run.over:
                self._loop.call_soon(self._step, lambda _: self.machine.gone(self._loop.time()))
            elif action is Action.TERMINATE:
                self.run.terminate()
                if self.paused:
                    self.by_hand = None
            else:
                self.run.kill_all()
                if self.machine.killed_after is not None:
                    self._owner.killed(self)
        if self._next_spec is not self.spec and not self.machine.has_process:
            self._turn_over()
        self._arm()
        self._assess()
        self._tell()

    def _turn_over(self) -> None:
        before, self.spec = self.spec, self._next_spec
        self.machine.adopt(
            self.spec.rules,
            wait_again=_needs(self.spec) != _needs(before),
            other=self.spec.settings != before.settings,
        )

    def _tell(self) -> None:
        before, self._told = self._told, self.record()
        if before != self._told:
            self._changed.set()
            self._owner.changed(self, before.state)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(
                deadline, self._step, lambda now: self.machine.due(now, lacking_of(self))
            )

    def _assess(self) -> None:
        ready = self.state in (State.STARTING, State.RUNNING) and self.run is not None and self.run.ready
        if ready == self.ready:
            return
        self.ready = ready
        if ready and self.state is State.STARTING:
            self._step(self.machine.ready)
        else:
            self._tell()

    def _spawn(self) -> None:
        listener = RunListener(
            changed=self._assess,
            unhealthy=self.unhealthy,
            absent=lambda: self._owner.absent(self),
            exited=self._exited,
            gone=lambda: self._step(self.machine.gone),
        )
        self.run = None
        try:
            request = self._owner.requests.of(self.spec)
            self.run = ProcessRun(
                self.spec, self._owner.backend, request, self.log, listener, self._probes_run
            )
        except Exception as error:  # whatever it is, it is told, and there is no process to wait for
            reason = str(error) if isinstance(error, SpawnError) else f"{type(error).__name__}: {error}"
            passing = passes(error)
            self.log.say(f"could not be started: {reason}")
            self.last_exit = {"code": None, "signal": None, "text": reason, "time": utc_now(), "stderr": []}
            self._step(lambda now: self.machine.spawn_failed(now, reason, passing=passing))
            return
        self.machine.spawned()
        self.spawned_at = self._loop.time()
        self._owner.spawned(self)
        # Ready at once, where nothing else has to show it; after this step, which is still on its way to `starting`.
        self._loop.call_soon(self._assess)

    def _exited(self, status: ExitStatus, left_behind: Sequence[int]) -> None:
        unasked = self.state is not State.STOPPING
        if self.paused:
            self.by_hand = None
        if unasked or not status.success:
            self.log.say(f"ended: {status}")
        stderr = list(self.log.last_words) if unasked and not status.success else []
        self.last_exit = {**status.as_map(), "time": utc_now(), "stderr": stderr}
        if left_behind:
            self.log.say(f"left {len(left_behind)} processes behind: {', '.join(map(str, left_behind))}")
        self._step(lambda now: self.machine.exited(now, status, len(left_behind)))


def lacking_of(instance: Instance) -> Message | None:
    """What it is not ready for, while it has a process and is not, as far as that is known."""
    run = instance.run
    return run.lacking if run is not None and run.alive and not instance.ready else None


def was_killed(instance: Instance) -> Message | None:
    """That it did not end when it was asked to last; None where it did."""
    after_s = instance.machine.killed_after
    return (
        None if after_s is None else Message("report.was-killed", name=instance.name, seconds=f"{after_s:g}")
    )


def _needs(spec: ProcessSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What it waits for."""
    return spec.depends_on, spec.awaits_completion
