"""The launcher process: everything between `up` and its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from launcher.config.load import load
from launcher.daemon.control_server import ControlServer
from launcher.daemon.file_watch import FileWatch
from launcher.daemon.signal_debounce import Debounce, TwoWayDebounce
from launcher.errors import AlreadyRunning, LauncherError, RunDirError, StartFailed
from launcher.plan.capacity import check_capacity
from launcher.plan.plan import Plan, make_plan
from launcher.plan.port_checks import check_ports
from launcher.processes.backend import Backend
from launcher.processes.local import LocalBackend
from launcher.runtime import lost_launcher
from launcher.runtime.own_stderr import OwnStderr
from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_keeper import LOOK_EVERY_S, RunDirKeeper
from launcher.runtime.run_dir_lock import Held, Lock
from launcher.supervision.operations import Operations
from launcher.supervision.start_verdict import Verdict, judge, out_of_time
from launcher.supervision.states import State
from launcher.supervision.supervisor import Supervisor
from luabus import descriptors, log_signals
from luabus.log_setup import CleanFormatter
from luabus.messages import Message

LOCK_PATIENCE_S: Final = 3.0
"""A launcher that was killed holds its lock until its guard has cleaned up; so long a new one waits for that."""

STOP_NEWS_S: Final = 0.5
"""How often it is told for what a stop waits."""

TAIL_LINES: Final = 20
"""Lines of the logs shown of those that did not come up."""
TAILS: Final = 3
"""So many of them have their say."""


class Reporter(Protocol):
    """Who tells the person that started the cluster how it goes."""

    def prepared(self, plan: Plan, ended_leftovers: int) -> None:
        """The file is right and everything is free; processes start now."""

    def attach(self, supervisor: Supervisor) -> None:
        """The supervisor exists, and starts next."""

    def ready(self, supervisor: Supervisor, seconds: float) -> None:
        """Every process is ready."""

    def degraded(self, supervisor: Supervisor, seconds: float, error: StartFailed) -> None:
        """Some processes do not come up; the others stay up."""

    def failed(self, error: StartFailed) -> None:
        """The cluster does not come up, and is stopped."""

    def stopping(self, why: str) -> None:
        """It stops."""

    def waiting(self, names: list[str]) -> None:
        """While it stops: for these it waits."""

    def stopped(self, code: int) -> None:
        """Nothing is left."""

    def refused(self, error: LauncherError) -> None:
        """It does not start at all."""

    def close(self) -> None:
        """Lets the last words out."""


def run(
    config_file: Path,
    reporter: Reporter,
    lifeline: int | None,
    timeout_s: float | None = None,
    *,
    abort_on_failure: bool = False,
    watch: bool = False,
) -> int:
    """Starts the cluster, serves it until it is stopped, and returns the exit code. Raises `LauncherError` before it starts.

    What is not ready after `timeout_s` is told (None: nobody is late), and goes on being tried. With `abort_on_failure` the
    cluster is stopped for that, and when any process has failed for good. `watch`: services whose files change are restarted.
    """
    plan = make_plan(load(config_file, here=True), config_file)
    run_dir = RunDir(plan.run_dir)
    lost_launcher.refuse(run_dir)
    run_dir.prepare()
    lock = _lock(run_dir)
    keeper: RunDirKeeper | None = None
    try:
        descriptors.raise_limit()
        check_capacity(plan)
        if (alive := run_dir.writer()) is not None:
            raise AlreadyRunning(
                f"the launcher (pid {alive}) that wrote into {run_dir.path} is alive; `luabus-cluster down` stops it",
                alive,
            )
        backend = LocalBackend()
        ended = backend.leftovers(run_dir)
        check_ports(plan)
        reporter.prepared(plan, ended)
        keeper = RunDirKeeper(run_dir, lock)
        return asyncio.run(
            _serve(plan, run_dir, keeper, backend, reporter, lifeline, timeout_s, abort_on_failure, watch)
        )
    finally:
        if keeper is not None:
            keeper.close()
        lock.release()


def _lock(run_dir: RunDir) -> Lock:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return run_dir.lock()
        except AlreadyRunning as error:
            if time.monotonic() >= deadline or (error.pid is not None and _lives(error.pid)):
                raise
            time.sleep(0.05)


def _lives(pid: int) -> bool:
    from launcher.processes import process_tree

    return process_tree.started_at(pid) is not None


async def _serve(
    plan: Plan,
    run_dir: RunDir,
    keeper: RunDirKeeper,
    backend: Backend,
    reporter: Reporter,
    lifeline: int | None,
    timeout_s: float | None,
    abort_on_failure: bool,
    watch: bool,
) -> int:
    loop = asyncio.get_running_loop()
    guard = os.getppid() if lifeline is not None else 0
    supervisor = Supervisor(plan, run_dir, backend)
    supervisor.abort_on_failure = abort_on_failure
    own_log = _OwnLog(supervisor)
    own_stderr = OwnStderr(run_dir.log_dir)
    own_stderr.empty()

    def reread(scaled: Mapping[str, int]) -> Plan:
        return make_plan(load(plan.file, here=True), plan.file, scaled)

    verbs = Operations(supervisor, reread)
    control = ControlServer(supervisor, verbs)
    try:
        control.open()
    except OSError as error:
        raise RunDirError(f"{run_dir.control_file} cannot be written: {error.strerror}") from None
    supervisor.run_task(_keep_run_dir(supervisor, keeper, own_stderr), "run_dir")
    _hear_signals(loop, supervisor, verbs, own_stderr, lifeline)
    reporter.attach(supervisor)
    await supervisor.start()
    if watch:
        supervisor.run_task(FileWatch(supervisor, verbs).run(), "file watch")
    starting = supervisor.run_task(_come_up(supervisor, reporter, timeout_s), "startup")
    ending = supervisor.run_task(_tell_stopping(supervisor, reporter), "stop progress")
    try:
        code = await supervisor.stopped()
    finally:
        starting.cancel()
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(starting, ending, return_exceptions=True)
        logging.getLogger().removeHandler(own_log)
        await supervisor.close()
        await control.close()
        if lifeline is not None:
            loop.remove_reader(lifeline)
            _wake(guard)
    reporter.stopped(code)
    return code


def _wake(guard: int) -> None:
    """Whoever pressed Ctrl-Z stopped the guard alone, which is to end now."""
    if guard and guard == os.getppid():
        with contextlib.suppress(OSError):
            os.kill(guard, signal.SIGCONT)


async def _keep_run_dir(supervisor: Supervisor, keeper: RunDirKeeper, own_stderr: OwnStderr) -> None:
    """Once a second: a cluster whose files somebody removed is found again, and its logs go on."""
    run_dir = supervisor.run_dir
    trouble = ""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            anew = keeper.look() + supervisor.keys.restore()
            trouble = ""
            if anew:
                written = Message("run.files-written-anew", folder=str(run_dir.path), names=anew)
                supervisor.events.add("cluster", "", written)
        except (OSError, MemoryError, Held, RunDirError) as error:
            if str(error) != trouble:
                trouble = str(error)
                kept_from = Message("run.files-cannot-be-kept", folder=str(run_dir.path), why=trouble)
                supervisor.events.add("cluster", "", kept_from)
            if isinstance(error, Held):
                continue  # what lies there now is another's
        supervisor.logs.reopen()
        supervisor.logs.mark_clock()
        supervisor.events.reopen()
        own_stderr.reopen()


class _OwnLog(logging.Handler):
    """What the launcher's own libraries have to say goes to its own log."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(logging.WARNING)
        self._log = supervisor.logs.of("launcher")
        self.setFormatter(CleanFormatter())
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._log.say(self.format(record))


async def _come_up(supervisor: Supervisor, reporter: Reporter, timeout_s: float | None) -> None:
    changed = asyncio.Event()
    unobserve = supervisor.observe(changed.set)
    began = time.monotonic()
    try:
        while True:
            seconds = time.monotonic() - began
            instances = [instance.record() for instance in supervisor.instances.values()]
            verdict = judge(instances)
            late = timeout_s is not None and seconds >= timeout_s and not verdict.decided
            if late and timeout_s is not None and not supervisor.overdue:
                verdict = out_of_time(instances, timeout_s)
            if supervisor.stopping:
                if (
                    supervisor.exit_code and verdict.failures and not supervisor.overdue
                ):  # one took the cluster with it
                    reporter.failed(_told(supervisor, supervisor.why_stopped or verdict.reason, verdict))
                return
            if verdict.hopeless or verdict.ends_the_cluster(supervisor.abort_on_failure):
                reporter.failed(_told(supervisor, verdict.reason, verdict))
                supervisor.stop(verdict.reason, 1)
                return
            if verdict.decided or late:
                if verdict.ready or not supervisor.overdue:
                    _tell_how_it_came_up(supervisor, reporter, seconds, verdict)
                supervisor.overdue = late or verdict.goes_on
                if not supervisor.overdue:
                    return
            changed.clear()
            patience_s = None if timeout_s is None or late else timeout_s - seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), patience_s)
    finally:
        unobserve()


def _tell_how_it_came_up(
    supervisor: Supervisor, reporter: Reporter, seconds: float, verdict: Verdict
) -> None:
    values = {"count": len(supervisor.instances), "seconds": f"{seconds:.1f}"}
    if verdict.ready:
        supervisor.events.add("cluster", "", Message("run.is-ready-after", **values))
        reporter.ready(supervisor, seconds)
        return
    up = len(supervisor.instances) - len(verdict.failures)
    came_up = Message("run.is-degraded-after", up=up, why=verdict.reason, **values)
    supervisor.events.add("cluster", "", came_up)
    reporter.degraded(supervisor, seconds, _told(supervisor, verdict.reason, verdict))


def _told(supervisor: Supervisor, reason: Message, verdict: Verdict) -> StartFailed:
    """The reason, and what those that failed said last."""
    names = verdict.at_fault[:TAILS]
    for name in names:
        supervisor.logs.of(name).flush()
    logs = supervisor.logs
    lines = [line for name in names for line in logs.tail([name], TAIL_LINES // len(names), logs.since)]
    return StartFailed(str(reason), [line.as_map() for line in lines])


async def _tell_stopping(supervisor: Supervisor, reporter: Reporter) -> None:
    """Tells that it stops, and then each second for what it waits, if that is not what was told before."""
    changed = asyncio.Event()
    stop = supervisor.observe(changed.set)
    told: list[str] = []
    try:
        while not supervisor.stopping:
            changed.clear()
            await changed.wait()
        reporter.stopping(str(supervisor.why_stopped))
        while True:
            await asyncio.sleep(STOP_NEWS_S)
            names = [
                instance.name
                for instance in supervisor.instances.values()
                if instance.state is State.STOPPING
            ]
            if names and names != told:
                told = names
                reporter.waiting(names)
    finally:
        stop()


def _hear_signals(
    loop: asyncio.AbstractEventLoop,
    supervisor: Supervisor,
    verbs: Operations,
    own_stderr: OwnStderr,
    lifeline: int | None,
) -> None:
    on_terminal = sys.stdout.isatty()  # asked now: one that was hung up is none any more
    reopened_at = defaultdict[int, float](lambda: float("-inf"))
    presses, echoes = defaultdict[int, TwoWayDebounce](TwoWayDebounce), defaultdict[int, Debounce](Debounce)

    def hear(number: int, forwarded: bool) -> None:
        if not presses[number].counts(loop.time(), forwarded):
            return
        if number in log_signals.NUMBERS:
            is_told = loop.time() - reopened_at[number] > 1.0  # not each of a storm
            reopened_at[number] = loop.time()
            _reopen_logs(supervisor, own_stderr, signal.Signals(number).name if is_told else "")
        elif number == signal.SIGHUP and not on_terminal:
            supervisor.run_task(_reload(supervisor, verbs), "reload")
        elif supervisor.stopping:
            if number != signal.SIGHUP:  # the system and the shell send one each when a terminal is closed
                supervisor.kill_now()
        else:
            name = signal.Signals(number).name
            interrupted = number == signal.SIGINT
            supervisor.stop(Message("run.ctrl-c" if interrupted else "run.got-a-signal", signal=name))

    def direct(number: int) -> None:
        if echoes[number].heard(loop.time()):
            hear(number, False)

    def from_guard(lifeline: int) -> None:
        told = os.read(lifeline, 64)
        for number in told:
            hear(number, True)
        if not told:
            _orphaned(loop, supervisor, lifeline)

    if lifeline is not None:
        loop.add_reader(lifeline, from_guard, lifeline)
    if os.name != "posix":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(direct, number))
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, *log_signals.NUMBERS):
        loop.add_signal_handler(number, direct, number)


def _reopen_logs(supervisor: Supervisor, own_stderr: OwnStderr, by: str) -> None:
    supervisor.logs.reopen()
    supervisor.events.reopen()
    own_stderr.reopen()
    if by:
        supervisor.events.add("cluster", "", Message("run.logs-opened-anew", signal=by))


async def _reload(supervisor: Supervisor, verbs: Operations) -> None:
    from luabus.errors import Refused, explain

    try:
        await verbs.reload(False, {"by": "SIGHUP", "from": "signal"})
    except Refused as error:
        refused = Message("run.reload-by-sighup-refused", why=explain(error))
        supervisor.events.add("cluster", "", refused)
        supervisor.logs.of("launcher").say(str(refused))


def _orphaned(loop: asyncio.AbstractEventLoop, supervisor: Supervisor, lifeline: int) -> None:
    loop.remove_reader(lifeline)
    supervisor.events.add("cluster", "", Message("run.guard-was-killed"))
    supervisor.kill_now(exit_code=1)
