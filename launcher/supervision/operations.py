"""What people ask of a running cluster: start, stop, restart, kill, scale, reload, down.

Each verb takes `who` (`{"by", "from"}`) for the event log, checks everything before it changes anything (`Refused`), and returns
a report (`reports.py`). With `wait` False it returns when the work has begun.
Start, stop and restart take one name of a process or service, or several.

Verbs on one process follow one another (`operation_queue.py`), except that a stop, by name or because the process is taken out
of the cluster, takes effect at once: a verb that waits for that process then ends, and says what overtook it. No verb holds on
to an instance while it waits for its turn, for the instance may be another one by then.

One file because every verb goes the same way through the same few helpers: names, turns, work, report.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from launcher.errors import LauncherError, suggest
from launcher.plan.capacity import lacking
from launcher.plan.cluster_file import changed_access
from launcher.plan.diff import Changes, compare, takes_away
from launcher.plan.plan import Plan
from launcher.plan.port_checks import check_address
from launcher.processes.exit_status import USUAL, signal_name, signal_number
from launcher.supervision.instance import Instance
from launcher.supervision.operation_queue import OperationQueue, Turn
from launcher.supervision.operation_steps import (
    REMOVED,
    STOPPED,
    TAKEN_OUT,
    OperationSteps,
    names_of,
    notes_of,
)
from launcher.supervision.process_run import ProcessRun
from launcher.supervision.reports import Report, ended, report, summary_of
from launcher.supervision.sentences import it_is, sentence_of
from launcher.supervision.states import State
from launcher.supervision.supervisor import STRAYS_S, Supervisor
from luabus.errors import LuabusError, Refused
from luabus.ids import MAX_INSTANCE
from luabus.messages import Message

Who = Mapping[str, Any]
Names = str | Sequence[str]

ENDING: Final = ("SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT")
"""Signals that end a process which does nothing against it."""

DEATH_S: Final = 0.5
"""How long `kill` gives such a signal to do so. It is the launcher that waits: the cluster may go down with the process, but not
before this answer."""


class Operations:
    """`read_plan(scaled)` reads and checks cluster.toml anew; it raises `LauncherError`."""

    def __init__(self, supervisor: Supervisor, read_plan: Callable[[Mapping[str, int]], Plan]) -> None:
        self._supervisor = supervisor
        self._read_plan = read_plan
        self._scaled: dict[str, int] = {}
        self._lent: dict[str, str] = {}
        """Instances that somebody runs in a terminal, and who."""
        self._queue = OperationQueue()
        self._steps = OperationSteps(supervisor)
        self._set_lock = asyncio.Lock()
        """Held while the plan changes; what comes of it waits for its turns."""

    # -- one process or service -------------------------------------------------------------------------------

    async def start(self, names: Names, who: Who, wait: bool = True) -> Report:
        """Starts what is not up; when it returns, it is ready, or is known not to become so.

        What waits for something that does not come by itself goes on waiting, but the verb does not.
        """
        turns = self._enqueue(self._resolve("start", names, who))
        failures = await self._carry_out(turns, wait, lambda: self._steps.each(turns, self._steps.start_one))
        return self._report(names_of(turns), *ended(failures), ok=not failures)

    async def stop(self, names: Names, who: Who, wait: bool = True) -> Report:
        """Stops it, and it stays stopped; nothing of it lives when it returns."""
        why = Message("process.stopped-by", who=_by(who))
        meant = self._resolve("stop", names, who)[::-1]
        turns = self._halt(meant, why, STOPPED, by=str(_by(who)))
        failures = await self._carry_out(
            turns, wait, lambda: self._steps.each(turns, lambda turn: self._steps.stop_one(turn, why))
        )
        return self._report(names_of(turns[::-1]), *ended(failures), *notes_of(turns), ok=not failures)

    async def restart(self, names: Names, who: Who, wait: bool = True) -> Report:
        """One instance at a time, the next only when it is ready again; ends at the first that does not come back."""
        turns = self._enqueue(self._resolve("restart", names, who))
        failures = await self._carry_out(
            turns, wait, lambda: self._steps.rolling("restart", turns, self._steps.restart_one)
        )
        return self._report(names_of(turns), *ended(failures), *notes_of(turns), ok=not failures)

    async def pause(self, names: Names, who: Who, wait: bool = True) -> Report:
        """Stops the processes of these where they stand (SIGSTOP). Nothing watches over one until it is resumed, or ends."""
        number = _signal("SIGSTOP")
        running = self._processes_that(
            lambda one: one.state is State.RUNNING, names, "refusal.nothing-to-pause"
        )
        self._resolve("pause", names, who)
        for instance in running:
            _deliver(instance, partial(instance.pause, number, str(_by(who))))
        return self._report([instance.name for instance in running])

    async def resume(self, names: Names, who: Who, wait: bool = True) -> Report:
        """Lets what is paused go on; from then on it has its usual time to be ready again."""
        paused = self._processes_that(lambda one: one.paused, names, "refusal.nothing-to-resume")
        self._resolve("resume", names, who)
        for instance in paused:
            _deliver(instance, partial(instance.signal, _signal("SIGCONT")))
        return self._report([instance.name for instance in paused])

    async def kill(self, names: Names, signal: str | int, who: Who, wait: bool = False) -> Report:
        """Sends a signal to each process itself. Its restart policy decides what comes after.

        With `wait`, a signal that ends processes is given DEATH_S to do so before their states are told.
        """
        number = _signal(signal)
        asked = [names] if isinstance(names, str) else [str(name) for name in names]
        named = {instance.name: instance for name in asked for instance in self._supervisor.resolve(name)}
        instances = list(named.values())
        runs = [(instance, run) for instance in instances if (run := instance.run) is not None and run.alive]
        living = [instance for instance, _ in runs]
        if not living:
            raise Refused.coded(_each("refusal.has-no-process", instances))
        for instance in living:
            kill = Message("audit.kill", signal=signal_name(number), name=instance.name, pid=instance.pid)
            self._supervisor.events.add("kill", instance.name, kill, who)
            _deliver(instance, partial(instance.signal, number))
        if wait and signal_name(number) in ENDING:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEATH_S):
                    for instance, run in runs:
                        await instance.until(partial(_is_over, run))
        signalled = [instance.name for instance in living]
        sent = Message("report.sent", signal=signal_name(number), names=signalled)
        lost = [one.name for one in living if one.state is State.FAILED and self._supervisor.stopping]
        follows = Message("report.the-cluster-stops-with", name=lost[0]) if lost else None
        return self._report(signalled, sent, follows)

    async def lend(
        self, name: str, given_back: Callable[[], Awaitable[object]], keep_stopped: bool, who: Who
    ) -> Report:
        """Stops an instance, so that somebody can run it in a terminal. When that is over (`given_back`), it is started again, if
        it was up before, and unless `keep_stopped`. What is run there has a tag (`process_tag.py`) of
        the report's `loan`: what is left of it is ended before."""
        instances = self._supervisor.resolve(name)
        if len(instances) != 1:
            names = [instance.name for instance in instances]
            raise Refused.coded(Message("refusal.is-a-service", name=name, names=names))
        self._refuse_while_stopping()
        instance = instances[0]
        self._refuse_lent([instance.name])
        start_again = instance.machine.wanted and not keep_stopped
        self._supervisor.events.add("run", instance.name, Message("audit.run", name=instance.name), who)
        self._lent[instance.name] = str(_by(who))
        loan = f"loan-{secrets.token_hex(8)}"
        give_back = self._give_back(instance.name, loan, given_back, start_again, who)
        self._supervisor.run_task(give_back, f"loan of {instance.name}")
        why = Message("process.runs-in-a-terminal", who=_by(who))
        turns = self._halt([instance.name], why, STOPPED, by=str(_by(who)), deed="lent")
        work = partial(self._steps.each, turns, lambda turn: self._steps.stop_one(turn, why))
        failures = await self._carry_out(turns, True, work)
        return {**self._report(names_of(turns), *ended(failures), ok=not failures), "loan": loan}

    def down(self, who: Who) -> Report:
        """Begins to stop the cluster."""
        self._supervisor.events.add("down", "", Message("audit.down"), who)
        self._supervisor.stop(Message("run.down-by", who=_by(who)))
        return self._report(self._supervisor.instances, Message("report.the-cluster-stops"))

    # -- the set of processes ---------------------------------------------------------------------------------

    async def scale(self, service: str, instances: int, who: Who, wait: bool = True) -> Report:
        """Starts or stops instances at the end; the others stay as they are."""
        supervisor = self._supervisor
        known = supervisor.plan.config.services
        if service not in known:
            raise Refused.coded(
                Message("refusal.no-such-service", name=service, hint=suggest(service, known))
            )
        if not isinstance(instances, int) or not 0 <= instances <= MAX_INSTANCE:
            raise Refused.coded(
                Message("refusal.so-many-instances", found=repr(instances), most=MAX_INSTANCE)
            )
        self._refuse_while_stopping()
        async with self._set_lock:
            scaled = {**self._scaled, service: instances}
            plan = supervisor.plan.scaled(scaled)
            if len(plan.specs) > len(supervisor.plan.specs):
                _refuse_too_many(plan)
            changes = self._compare(plan)
            scale = Message("audit.scale", name=service, instances=instances)
            supervisor.events.add("scale", service, scale, who)
            self._scaled = scaled
            supervisor.adopt_plan(plan)
            removed, added = self._removed(changes), self._enqueue(changes.added)
            await supervisor.tell_routers()  # who is expected from now on

        async def work() -> list[Message]:
            await self._steps.each(removed, self._steps.remove_one)
            return await self._steps.each(added, self._steps.start_one)

        turns = [*added, *removed[::-1]]
        failures = await self._carry_out(turns, wait, work)
        code = "report.has-one-instance" if instances == 1 else "report.has-instances"
        told = [Message(code, name=service, count=instances), *(failures or ()), *notes_of(removed)]
        return self._report(names_of(turns), *told, ok=not failures)

    async def reload(self, dry_run: bool, who: Who, wait: bool = True) -> Report:
        """Reads the file again and applies what changed: see `Changes`. A file with a fault changes nothing; one that takes
        something away (`takes_away`) does so only with `"yes": true` in `who`."""
        supervisor = self._supervisor
        self._refuse_while_stopping()
        async with self._set_lock:
            old = supervisor.plan
            scaled, plan = self._reread(old)
            changes = self._compare(plan)
            taken_away = takes_away(old.config, plan.config)
            if taken_away and not dry_run and not who.get("yes"):
                raise Refused.coded(Message("refusal.takes-away", keys=list(taken_away)))
            if plan.run_dir != old.run_dir or plan.name != old.name:
                raise Refused.coded(Message("refusal.name-and-run-dir-stay"))
            if len(plan.specs) > len(old.specs):
                _refuse_too_many(plan)
            if dry_run:
                summary = summary_of(changes, taken_away)
                return {**self._report((), *summary), **changes.as_map(), "taken_away": list(taken_away)}
            summary = summary_of(changes)
            self._check_new_ports(plan, changes)
            supervisor.events.add("reload", "", Message("audit.reload", what=summary), who)
            self._scaled = scaled
            supervisor.adopt_plan(plan)
            removed, added = self._removed(changes), self._enqueue(changes.added)
            changed = self._enqueue(changes.changed)
            await supervisor.tell_routers()  # before anything starts that they must know
            if (plan.routers, plan.groups) != (old.routers, old.groups):
                await supervisor.rewatch()

        async def work() -> list[Message]:
            await self._steps.each(removed, self._steps.remove_one)
            # Together, and the new ones first: what changed may depend on them from now on, and they on what changed.
            both = await asyncio.gather(
                self._steps.each(added, self._steps.start_one),
                self._steps.rolling("reload", changed, self._steps.renew_one),
            )
            return [failure for failures in both for failure in failures]

        turns = [*added, *changed, *removed[::-1]]
        failures = await self._carry_out(turns, wait, work)
        told = [*summary, *ended(failures), *notes_of([*removed, *changed])]
        done = self._report(names_of(turns), *told, ok=not failures)
        return {**done, **changes.as_map()}

    # -- within -----------------------------------------------------------------------------------------------

    def _resolve(self, verb: str, names: Names, who: Who) -> list[str]:
        """The processes meant, each once, in the order they start."""
        asked = list(dict.fromkeys([names] if isinstance(names, str) else map(str, names)))
        meant = {instance.name for name in asked for instance in self._supervisor.resolve(name)}
        self._refuse_while_stopping()
        if verb != "stop":
            self._refuse_lent(sorted(meant))
        for name in asked:
            self._supervisor.events.add(verb, name, Message(f"audit.{verb}", name=name), who)
        return [name for name in self._supervisor.instances if name in meant]

    async def _give_back(
        self, name: str, loan: str, given_back: Callable[[], Awaitable[object]], start: bool, who: Who
    ) -> None:
        with contextlib.suppress(LuabusError):
            await given_back()
        await self._supervisor.backend.end_marked(loan, STRAYS_S)
        del self._lent[name]
        if start and name in self._supervisor.instances and not self._supervisor.stopping:
            await self.start(name, who, wait=False)

    def _refuse_lent(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._lent:
                raise Refused.coded(Message("refusal.runs-in-a-terminal", name=name, who=self._lent[name]))

    def _processes_that(self, fit: Callable[[Instance], bool], names: Names, refusal: str) -> list[Instance]:
        """Those of the named that live and fit. Raises `Refused` when there is none."""
        named = [names] if isinstance(names, str) else [str(name) for name in names]
        found = {instance.name: instance for name in named for instance in self._supervisor.resolve(name)}
        fitting = [instance for instance in found.values() if instance.pid is not None and fit(instance)]
        if not fitting:
            raise Refused.coded(_each(refusal, list(found.values())))
        return fitting

    def _enqueue(self, names: Iterable[str]) -> list[Turn]:
        return [self._queue.enqueue(name) for name in names]

    def _halt(
        self, names: Iterable[str], why: Message, meanwhile: str, by: str | None = None, deed: str = "stopped"
    ) -> list[Turn]:
        """Stops these at once, whoever waits for them, and takes turns behind those who do."""
        turns = [self._queue.preempt(name, Message(meanwhile, name=name)) for name in names]
        for turn in turns:
            self._supervisor.instances[turn.name].stop(why, by=by, deed=deed)
        return turns

    def _removed(self, changes: Changes) -> list[Turn]:
        return self._halt(reversed(changes.removed), TAKEN_OUT, REMOVED)

    def _compare(self, plan: Plan) -> Changes:
        """What `plan` changes: for a process that is meant to run, against what it really runs as."""
        instances = self._supervisor.instances
        before = {
            name: instances[name].spec if name in instances else spec
            for name, spec in self._supervisor.plan.by_name().items()
        }
        told = changed_access(self._supervisor.plan.document, plan.document)
        return replace(compare(before, plan.by_name()), told=told)

    def _refuse_while_stopping(self) -> None:
        if self._supervisor.stopping:
            raise Refused.coded(Message("refusal.the-cluster-is-stopping"))

    async def _carry_out(
        self, turns: Sequence[Turn], wait: bool, work: Callable[[], Awaitable[list[Message]]]
    ) -> list[Message] | None:
        """What did not come about; None when nobody waits for that."""
        # A task of the supervisor's: a caller who goes away does not leave the work half done.
        task = self._supervisor.run_task(work(), "verb")
        if not wait:
            await asyncio.sleep(0)
            return None
        failures: list[Message] = await asyncio.shield(task)
        return failures

    def _report(self, names: Iterable[str], *told: Message | None, ok: bool = True) -> Report:
        instances = self._supervisor.instances
        named = list(names)
        states = {name: instances[name].shown_state if name in instances else "removed" for name in named}
        sentences = {
            name: sentence_of(instances[name]) if name in instances else Message("told.removed", name=name)
            for name in named
        }
        return {
            **report(states, *told, ok=ok),
            "sentences": {name: str(one) for name, one in sentences.items()},
        }

    def _reread(self, old: Plan) -> tuple[dict[str, int], Plan]:
        try:
            plan = self._read_plan({})
        except LauncherError as error:
            why = Message.verbatim(str(error))
            raise Refused.coded(Message("refusal.nothing-was-changed", why=why)) from None
        before, after = old.config.services, plan.config.services
        # A number set by `scale` holds until the file says another one than it did.
        scaled = {
            name: count
            for name, count in self._scaled.items()
            if name in after and name in before and after[name].instances == before[name].instances
        }
        return scaled, plan.scaled(scaled) if scaled else plan

    def _check_new_ports(self, plan: Plan, changes: Changes) -> None:
        own = {instance.spec.address for instance in self._supervisor.instances.values()}
        touched = {*changes.added, *changes.changed}
        for spec in plan.specs:
            if spec.name in touched and spec.address not in own and (reason := check_address(spec)):
                raise Refused.coded(Message("refusal.nothing-was-changed", why=Message.verbatim(reason)))


def _refuse_too_many(plan: Plan) -> None:
    if (lack := lacking(len(plan.specs), plan.config.routers.count)) is not None:
        raise Refused.coded(Message("refusal.nothing-was-changed", why=Message.verbatim(lack)))


def _is_over(run: ProcessRun) -> bool:
    return not run.alive


def _deliver(instance: Instance, send: Callable[[], None]) -> None:
    """Sends a signal; one that just ended by itself needs none. Raises `Refused` for another user's process."""
    try:
        with contextlib.suppress(ProcessLookupError):
            send()
    except PermissionError:
        raise Refused.coded(
            Message("refusal.runs-as-another-user", name=instance.name, pid=instance.pid)
        ) from None


def _each(refusal: str, instances: Sequence[Instance]) -> Message:
    """Why it is refused for all of these, of each by its own state."""
    parts = [Message(refusal, name=instance.name, state=it_is(instance)) for instance in instances]
    return parts[0] if len(parts) == 1 else Message("report.all", parts=parts)


def _signal(signal: str | int) -> int:
    """Its number. Raises `Refused` where there is none of that name, as SIGSTOP on Windows."""
    try:
        return signal_number(str(signal))
    except ValueError:
        raise Refused.coded(
            Message("refusal.no-such-signal", signal=repr(str(signal)), usual=list(USUAL))
        ) from None


def _by(who: Who) -> Any:
    return who.get("by") or Message("process.an-admin")
