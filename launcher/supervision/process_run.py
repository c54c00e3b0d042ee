"""One run of an instance's process, from its spawn until nothing of it lives: its output, its probes, what shows it ready."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from launcher.plan.spec import Kind, ProbeSpec, ProcessSpec, ReadyBy
from launcher.processes.backend import Backend, ProcessIdentity, SpawnError, SpawnRequest
from launcher.processes.exit_status import ExitStatus, signal_name
from launcher.processes.usage import Usage
from launcher.runtime.log_store import ProcessLog
from launcher.supervision.absence import AbsenceWatch
from launcher.supervision.probes import Prober, Verdicts, run_command
from luabus.messages import Message


@dataclass(frozen=True)
class RunListener:
    """Who is told of a run: `changed` when it may have become ready, or not ready; `unhealthy` with the reason when it must be
    replaced; `absent` when it is on no router for too long; `exited` and `gone` as by a backend."""

    changed: Callable[[], None]
    unhealthy: Callable[[Message], None]
    absent: Callable[[], None]
    exited: Callable[[ExitStatus, Sequence[int]], None]
    gone: Callable[[], None]


class ProcessRun:
    """Spawns the process at once; raises `SpawnError`. `probes_run`: the commands of probes that could be run once, also in other
    runs: should one be away for a while, that says nothing of the process."""

    def __init__(
        self,
        spec: ProcessSpec,
        backend: Backend,
        request: SpawnRequest,
        log: ProcessLog,
        listener: RunListener,
        probes_run: set[tuple[str, ...]] | None = None,
    ) -> None:
        self._spec = spec
        self._backend = backend
        self._request = request
        self._log = log
        self._listener = listener
        self.alive = True
        """The process itself; what it left behind may live on."""
        self.over = False
        """Nothing of it lives."""
        self._reported = False
        self._started_up = spec.startup is None
        self._lasted = spec.min_uptime <= 0
        """It has lived for long enough to count as ready, where nothing else shows that it is."""
        self._lasting: asyncio.TimerHandle | None = None
        self._was_ready = False
        self._ending = False
        self._asked_to_end = False
        self._probes = 0
        self._probes_run = set() if probes_run is None else probes_run
        self._suspended = False
        self._last_report = (False, False)
        self._absence = AbsenceWatch(spec.liveness_timeout, listener.absent)
        self._prober: Prober | None = None
        log.new_run()
        self._handle = backend.spawn(request, self)
        try:
            if not self._lasted:
                self._lasting = asyncio.get_running_loop().call_later(spec.min_uptime, self._has_lasted)
            if spec.startup or spec.ready or spec.liveness:
                verdicts = Verdicts(self._startup_succeeded, self._probed, listener.unhealthy, log.say)
                self._prober = Prober(spec, verdicts, self._execute)
                log.on_part = self._prober.line
        except BaseException:  # nobody would get to know of the process
            self._handle.kill_all()
            self._handle.close()
            raise

    @property
    def identity(self) -> ProcessIdentity:
        return self._handle.identity

    @property
    def ready(self) -> bool:
        """All that has to show that it is ready does."""
        return (
            self.alive
            and not self._suspended
            and self._started_up
            and (self._lasted if self._spec.ready_by is ReadyBy.SPAWN else self._reported)
        )

    @property
    def lacking(self) -> Message | None:
        """What it is not ready for; None where nothing is known of that."""
        spec, failure = self._spec, self._prober.failure if self._prober is not None else ""
        if not self._started_up:
            return _unanswered("startup", spec.startup, failure)
        if spec.ready_by is ReadyBy.SPAWN:
            return None if self._lasted else Message("process.must-live-for", seconds=f"{spec.min_uptime:g}")
        if self._reported:
            return None
        if spec.ready_by is ReadyBy.BUS:
            return Message("health.it-is-registered-at-no-router") if self._last_report[1] else None
        return _unanswered("ready", spec.ready, failure)

    def usage(self) -> Usage:
        """As `Handle.usage`."""
        return self._handle.usage()

    # -- what is asked of it ----------------------------------------------------------------------------------

    def report(self, ready: bool, *, absent: bool) -> None:
        """What the bus (or the router itself) says: ready at every connected router; `absent` from all of them, which counts for
        one that was ready before."""
        self._last_report = (ready, absent)
        if self._suspended:
            return
        self._reported = ready
        self._was_ready = self._was_ready or self.ready
        if ready or not absent:
            self._absence.forget()
        elif self._was_ready and not self._ending:
            self._absence.expect()
        self._listener.changed()

    def excuse(self, why: str) -> None:
        """It is absent with a reason; is looked at again after another `liveness_timeout`."""
        if not self._ending and not self._suspended and self._absence.excuse():
            self._log.say(why)

    def suspend(self) -> None:
        """It was made to stand still: it is neither probed nor missed until it goes on."""
        self._suspended = True
        self._absence.forget()
        if self._prober is not None:
            self._prober.rest()
        self._listener.changed()

    def go_on(self) -> None:
        """It is watched again, and has its usual time."""
        self._suspended = False
        ready, absent = self._last_report
        if self._prober is not None:
            self._prober.go_on()
        self.report(ready, absent=absent)

    def signal(self, number: int) -> None:
        """As `Handle.signal`."""
        self._handle.signal(number)

    def terminate(self) -> None:
        """Asks all that lives of it to end, by its stop signal; or the process alone, where that is meant to end the others."""
        self._ending = True
        self._absence.forget()
        number = self._spec.stop_signal
        group = self._spec.stop_group
        if not (self.alive or group) and self._asked_to_end:
            return  # what it started has its time to end by itself
        self._asked_to_end = True
        if self.alive and self._spec.kind is Kind.COMMAND and number != signal.SIGTERM:
            self._log.say(f"is sent {signal_name(number)}")
        self._handle.terminate(number, group=group)
        if self._suspended:
            self._handle.signal(signal.SIGCONT)  # or it would not get to know of it

    def kill_all(self) -> None:
        """As `Handle.kill_all`."""
        self._log.say("did not end in time: SIGKILL")
        self._handle.kill_all()

    def close(self) -> None:
        """Ends timers and probes; the process is left alone."""
        self._end_watching()
        self._handle.close()

    # -- what the process does (a Listener) -------------------------------------------------------------------

    def output(self, stream: str, chunk: bytes) -> None:
        lines = self._log.feed(stream, chunk)
        if self._prober is not None:
            for line in lines:
                self._prober.line(line)

    def exited(self, status: ExitStatus, left_behind: Sequence[int]) -> None:
        self.alive = False
        self._ending = True
        self._end_watching()
        self._log.flush()
        self.over = not left_behind
        self._listener.exited(status, left_behind)

    def gone(self) -> None:
        self.over = True
        self._log.flush()
        self._listener.gone()

    # -- within -----------------------------------------------------------------------------------------------

    def _has_lasted(self) -> None:
        self._lasted = True
        self._listener.changed()

    def _end_watching(self) -> None:
        self._absence.forget()
        self._log.on_part = None
        if self._lasting is not None:
            self._lasting.cancel()
        if self._prober is not None:
            self._prober.close()
            self._prober = None

    def _startup_succeeded(self) -> None:
        self._started_up = True
        self._listener.changed()

    def _probed(self, ready: bool, failure: str) -> None:
        if not ready:
            self._log.say(f"is not ready any more: {failure}")
        self.report(ready, absent=False)

    async def _execute(self, command: tuple[str, ...], timeout_s: float) -> str:
        """Runs an exec probe beside the process, in its folder and environment. Raises `SpawnError` when it cannot be
        started, but for a command that never could: that has failed."""
        self._probes += 1
        request = replace(
            self._request,
            argv=command,
            nice=None,
            rlimits={},
            helper=True,
            owner=f"{self._request.owner}/{self._probes}",
        )
        try:
            failure = await run_command(self._backend, request, timeout_s)
        except SpawnError as error:
            if error.passing or command in self._probes_run:
                raise
            return str(error)
        self._probes_run.add(command)
        return failure


def _unanswered(which: str, probe: ProbeSpec | None, failure: str) -> Message | None:
    """What is known of a probe that has not succeeded yet, or does no longer."""
    if failure:
        return Message(f"process.{which}-probe-fails", why=failure)
    if probe is not None and probe.kind == "log":
        return Message("process.no-line-matches", pattern=str(probe.target))
    return None
