"""One supervised process as a state machine: events and the time in, actions out. No I/O.

The shell (`instance.py`) carries the actions out and calls `due` when `deadline` has come. Every change of state goes
through `_move`, which accepts what `states.TRANSITIONS` lists and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from launcher.plan.spec import LifecycleSettings
from launcher.processes.exit_status import ExitStatus, signal_name
from launcher.supervision.states import TRANSITIONS, Event, State
from luabus.cluster.restart_policy import CrashHistory, Decision, GiveUp, Restart, is_crash
from luabus.messages import Message

STOPPED = Message("process.stopped")

COULD_NOT_LOAD = 3
"""Exit code of `python -m luabus run` for a service that cannot be imported. Where it never was up, no later try would fare
better; where it was, its module is just being written."""


class Action(Enum):
    """What the shell has to do, in the order given."""

    SPAWN = "spawn"
    TERMINATE = "terminate"
    KILL = "kill"


class AfterStop(Enum):
    """What follows when a stopping process is gone."""

    STAY = "stay"
    START = "start"
    APPLY_POLICY = "judge"
    """it crashed: what its restart policy says"""


class Lifecycle:
    """The life of one process. Public attributes are for reading.

    `state`, `since` (when it came into it), `detail` (why, or None), `deadline` (when `due` must be called, or None),
    `wanted` (a person wants it up), `has_process`, `restarts` (starts but the first), `returning` (it waits to start, and was
    up before: after a crash or a restart), `last_exit`, `ready_since`, `completed` (its last run ended by itself, with success).
    """

    def __init__(self, rules: LifecycleSettings, chance: Callable[[], float]) -> None:
        self.rules = rules
        self.state = State.EXITED
        self.since = 0.0
        self.detail: Message | None = Message("process.not-started-yet")
        self.deadline: float | None = None
        self.wanted = False
        self.has_process = False
        self.restarts = 0
        self.returning = False
        self.last_exit: ExitStatus | None = None
        self.ready_since: float | None = None
        self.completed = False
        self.killed_after: float | None = None
        """When it was asked to end last, it did not for so many seconds, and got SIGKILL."""
        self._stuck = False
        self._chance = chance
        self._crashes = CrashHistory(rules.restart)
        self._then = AfterStop.STAY
        self._verdict = STOPPED
        self._replaced = False
        self._started_before = False
        self._can_run = False
        """the system has started it once as it is described now"""
        self._can_serve = False
        """it was ready once as it is described now, or completed"""

    @property
    def waiting(self) -> bool:
        """True while it is wanted up and waits for leave to start (`clear`)."""
        return self.state is State.STARTING and not self.has_process

    @property
    def stuck(self) -> bool:
        """It waits for something that does not come by itself; the detail says what a person has to do."""
        return self._stuck and self.waiting

    @property
    def crashes_in_a_row(self) -> int:
        return self._crashes.in_a_row

    def restarts_left(self, now: float) -> int:
        """After how many more crashes, if they came now, it would be started again."""
        return self._crashes.left(now)

    def restart_in_s(self, now: float) -> float | None:
        """Seconds until it is started again; None where it does not wait for that."""
        if self.state is not State.BACKOFF or self.deadline is None:
            return None
        return max(0.0, self.deadline - now)

    def adopt(self, rules: LifecycleSettings, *, wait_again: bool, other: bool = False) -> None:
        """Other rules, from now on. `wait_again`: it depends on something else than before, and waits for that as at first;
        `other`: it is run as something that never was up."""
        if other:
            self._can_run = self._can_serve = False
        self.rules = rules
        self._crashes.policy = rules.restart
        if wait_again:
            self.returning = False

    # -- what people want -------------------------------------------------------------------------------------

    def start(self, now: float) -> tuple[Action, ...]:
        """Wants it up. Does nothing to one that is up already."""
        self.wanted = True
        if self.state is State.STOPPING:
            self._then = AfterStop.START
            self._move(Event.START, State.STOPPING, now, self.detail)
        elif self.state in (State.EXITED, State.FAILED, State.BACKOFF):
            self._crashes.forget()
            self._await_clearance(Event.START, now)
        return ()

    def stop(self, now: float, why: Message = STOPPED, *, again: bool = False) -> tuple[Action, ...]:
        """Wants it down; with `again`, down and then up."""
        self.wanted = again
        if again:
            self._crashes.forget()
        if self.state is not State.STOPPING:
            self.killed_after = None
        if self.state is State.STOPPING:
            self._then = AfterStop.START if again else AfterStop.STAY
            self._verdict = why
            self._move(Event.STOP, State.STOPPING, now, why)
            return ()
        if self.has_process:
            return self._end(Event.STOP, now, AfterStop.START if again else AfterStop.STAY, why)
        if again:
            self._await_clearance(Event.STOP, now, returning=self.state is State.BACKOFF)
        else:
            self._move(Event.STOP, State.EXITED, now, why)
        return ()

    def kill_now(self) -> tuple[Action, ...]:
        """No more patience with one that is stopping."""
        return (Action.KILL,) if self.state is State.STOPPING else ()

    def await_turn(self, detail: Message, *, stuck: bool) -> None:
        """What it waits for, while it waits; see `stuck`."""
        if self.waiting:
            self.detail = detail
            self._stuck = stuck

    # -- what happens -----------------------------------------------------------------------------------------

    def clear(self, now: float) -> tuple[Action, ...]:
        """All it depends on is ready: it may start."""
        if not self.waiting:
            return ()
        self.has_process = True
        self.restarts += self._started_before
        self._started_before = True
        self.since = now
        self.detail = Message("process.not-ready-yet")
        self.deadline = now + self.rules.start_timeout if self.rules.must_report_ready else None
        return (Action.SPAWN,)

    def spawned(self) -> None:
        """It has a process: it can be started as it is described."""
        self._can_run = True

    def spawn_failed(self, now: float, reason: str, *, passing: bool = False) -> tuple[Action, ...]:
        """The operating system would not start it. What never was started fails for good; what was is tried again like after a
        crash. For trouble that passes by itself (`passing`) it is tried again however often that takes."""
        self.has_process = False
        self.last_exit = ExitStatus(reason=reason)
        what = Message.verbatim(reason)
        if passing:
            self._carry_out(self._crashes.delayed(self._chance()), Event.SPAWN_FAILED, now, what)
        elif self._can_run:
            decision = self._crashes.ended(now, crashed=True, ready_for=None, chance=self._chance())
            self._carry_out(decision, Event.SPAWN_FAILED, now, what)
        else:
            self._move(Event.SPAWN_FAILED, State.FAILED, now, what)
        return ()

    def ready(self, now: float) -> tuple[Action, ...]:
        """It reported ready. Later reports of the same run are ignored."""
        if self.state is State.STARTING and self.has_process:
            self.ready_since = now
            self._can_serve = True
            self._move(Event.READY, State.RUNNING, now)
        return ()

    def unhealthy(self, now: float, why: Message) -> tuple[Action, ...]:
        """It lives, but must be replaced: counts as a crash."""
        if self.state in (State.STARTING, State.RUNNING) and self.has_process:
            return self._end(Event.UNHEALTHY, now, AfterStop.APPLY_POLICY, why, crashed=True)
        return ()

    def exited(self, now: float, status: ExitStatus, leftovers: int = 0) -> tuple[Action, ...]:
        """The process ended; `leftovers` of its family still live and are ended too before anything else is done."""
        self.last_exit = status
        if self.state is State.STOPPING:
            self._move(Event.EXIT, State.STOPPING, now, self.detail)
            return (Action.TERMINATE,) if leftovers else self.gone(now)
        if leftovers:
            code = "process.left-some-behind" if leftovers > 1 else "process.left-one-behind"
            why = Message(code, how=told(status), count=leftovers)
            return self._end(Event.EXIT, now, AfterStop.APPLY_POLICY, why)
        return self._judge(Event.EXIT, now, told(status))

    def gone(self, now: float) -> tuple[Action, ...]:
        """Nothing of its family lives any more."""
        if self.state is not State.STOPPING:
            return ()
        self.has_process = False
        if self._then is AfterStop.APPLY_POLICY:
            return self._judge(Event.GONE, now, self._how_it_ended())
        if self._then is AfterStop.START:
            self._await_clearance(Event.GONE, now, returning=True)
        else:
            self.ready_since = None
            self._move(Event.GONE, State.EXITED, now, self._how_it_ended())
        return ()

    def due(self, now: float, lacking: Message | None = None) -> tuple[Action, ...]:
        """The deadline of this state has come. `lacking`: what it is not ready for, as far as that is known."""
        if self.deadline is None or now < self.deadline:
            return ()
        if self.state is State.BACKOFF:
            self._await_clearance(Event.DUE, now, returning=True)
            return ()
        if self.state is State.STARTING:
            seconds = f"{self.rules.start_timeout:g}"
            late = Message("process.not-ready-within", seconds=seconds)
            if lacking is not None:
                late = Message("process.not-ready-within-for", seconds=seconds, why=lacking)
            return self._end(Event.DUE, now, AfterStop.APPLY_POLICY, late, crashed=True)
        if self.state is State.STOPPING:
            late = Message(
                "process.did-not-end-within", why=self._verdict, seconds=f"{self.rules.stop_timeout:g}"
            )
            self._move(Event.DUE, State.STOPPING, now, late)
            self.killed_after = self.rules.stop_timeout
            return (Action.KILL,)
        return ()

    # -- within -----------------------------------------------------------------------------------------------

    def _end(
        self, event: Event, now: float, then: AfterStop, why: Message, *, crashed: bool = False
    ) -> tuple[Action, ...]:
        self._then = then
        self._replaced = crashed
        self.killed_after = None
        self._verdict = why
        self._move(event, State.STOPPING, now, why)
        self.deadline = now + self.rules.stop_timeout
        return (Action.TERMINATE,)

    def _how_it_ended(self) -> Message:
        if self.killed_after is None:
            return self._verdict
        return Message("process.was-killed", why=self._verdict, seconds=f"{self.killed_after:g}")

    def _await_clearance(self, event: Event, now: float, *, returning: bool = False) -> None:
        self.returning = returning
        self.has_process = False
        self.completed = False
        self.ready_since = None
        self._move(event, State.STARTING, now, Message("process.waiting-to-start"))

    def _judge(self, event: Event, now: float, what: Message) -> tuple[Action, ...]:
        status = self.last_exit or ExitStatus(reason=str(what))
        ready_for = None if self.ready_since is None else now - self.ready_since
        early = self.rules.must_report_ready and ready_for is None
        success = status.code in self.rules.success_codes
        self.has_process = False
        self.ready_since = None
        if self.rules.load_failure_is_final and status.code == COULD_NOT_LOAD and not success:
            what = Message("process.could-not-be-loaded")
            if not self._can_serve:
                self._move(event, State.FAILED, now, what)
                return ()
        replaced, self._replaced = self._replaced, False
        crashed = is_crash(success=success, early=early and not self.rules.job, replaced=replaced)
        self.completed = success and not crashed
        self._can_serve = self._can_serve or self.completed
        if early and success and crashed and not replaced:
            what = Message("process.before-it-was-ready", how=what)
        late = replaced and early
        decision = self._crashes.ended(
            now, crashed=crashed, ready_for=ready_for, chance=self._chance(), late=late
        )
        self._carry_out(decision, event, now, what)
        return ()

    def _carry_out(self, decision: Decision, event: Event, now: float, what: Message) -> None:
        if isinstance(decision, Restart):
            why = Message("process.starts-again-in", how=what, seconds=f"{decision.delay:.1f}")
            self._move(event, State.BACKOFF, now, why)
            self.deadline = now + decision.delay
        elif isinstance(decision, GiveUp):
            self._move(event, State.FAILED, now, Message("process.given-up", how=what, why=decision.reason))
        else:
            self._move(event, State.EXITED, now, what)

    def _move(self, event: Event, state: State, now: float, detail: Message | None = None) -> None:
        allowed = TRANSITIONS.get((self.state, event), frozenset())
        if state not in allowed:
            raise RuntimeError(f"no transition from {self.state} to {state} on {event}")
        if state is not self.state:
            self.since = now
        if state is not State.STOPPING or event is Event.DUE:
            self.deadline = None
        self.state = state
        self.detail = detail


def told(status: ExitStatus) -> Message:
    """How it ended."""
    if status.signal is not None:
        return Message("exit.signal", signal=signal_name(status.signal))
    if status.code is not None:
        return Message("exit.code", code=status.code)
    return Message.verbatim(status.reason) if status.reason else Message("exit.unknown")
