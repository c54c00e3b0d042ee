"""What people ask of a running cluster: start, stop, restart, kill, scale, reload, down.

Each verb takes `who` (`{"by", "from"}`) for the event log, checks everything before it changes anything (`Refused`), and returns
`{"ok": bool, "text": str, "processes": {name: state}}`. With `wait` False it returns when the work has begun.
Start, stop and restart take one name of a process or service, or several.

Verbs on one process follow one another (`lanes.py`), except that a stop, by name or because the process is taken out of the
cluster, takes effect at once: a verb that waits for that process then ends, and says what overtook it. No verb holds on to a
unit while it waits for its lane, for the unit may be another one by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from launcher.errors import LauncherError, suggest
from launcher.plan.diff import Changes, compare
from launcher.plan.plan import Plan, slots_of
from launcher.plan.port_checks import check_address
from launcher.processes.exit_status import signal_name, signal_number
from launcher.supervision.instance import Instance
from launcher.supervision.operation_queue import OperationQueue, Place
from launcher.supervision.process_run import ProcessRun
from launcher.supervision.states import SETTLED, State
from launcher.supervision.supervisor import Supervisor
from luabus.errors import Refused
from luabus.ids import MAX_INSTANCE

Who = Mapping[str, Any]
Report = dict[str, Any]
Names = str | Sequence[str]

STOPPED, REMOVED = "was stopped meanwhile", "was removed meanwhile"
"""What overtook a verb."""

ENDING: Final = ("SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT")
"""Signals that end a process which does nothing against it."""

DEATH_S: Final = 0.5
"""How long `kill` gives such a signal to do so. It is the launcher that waits: the cluster may go down with the process, but not
before this answer."""

CAME_UP_OR_NOT = frozenset({State.RUNNING, State.BACKOFF, State.FAILED, State.EXITED})


class Operations:
    """`read_plan(scaled)` reads and checks cluster.toml anew; it raises `LauncherError`."""

    def __init__(self, supervisor: Supervisor, read_plan: Callable[[Mapping[str, int]], Plan]) -> None:
        self._supervisor = supervisor
        self._read_plan = read_plan
        self._scaled: dict[str, int] = {}
        self._lanes = OperationQueue()
        self._set_lock = asyncio.Lock()
        """Held while the plan changes; what comes of it is done in the lanes."""

    # -- one process or service -------------------------------------------------------------------------------

    async def start(self, names: Names, who: Who, wait: bool = True) -> Report:
        """Starts what is not up; when it returns, it is ready, or is known not to become so.

        What waits for something that does not come by itself goes on waiting, but the verb does not.
        """
        places = self._places(self._asked("start", names, who))
        return await self._carry_out(places, wait, lambda: self._each(places, self._start_one))

    async def stop(self, names: Names, who: Who, wait: bool = True) -> Report:
        """Stops it, and it stays stopped; nothing of it lives when it returns."""
        why = f"stopped by {who.get('by') or 'an admin'}"
        places = self._halt(self._asked("stop", names, who)[::-1], why, STOPPED)
        return await self._carry_out(
            places[::-1], wait, lambda: self._each(places, lambda place: self._stop_one(place, why))
        )

    async def restart(self, names: Names, who: Who, wait: bool = True) -> Report:
        """One instance at a time, the next only when it is ready again; ends at the first that does not come back."""
        places = self._places(self._asked("restart", names, who))
        return await self._carry_out(places, wait, lambda: self._rolling(places, self._restart_one))

    async def kill(self, name: str, signal: str | int, who: Who, wait: bool = False) -> Report:
        """Sends a signal to the process itself. Its restart policy decides what comes after.

        With `wait`, a signal that ends processes is given DEATH_S to do so before their states are told.
        """
        try:
            number = signal_number(str(signal))
        except ValueError as error:
            raise Refused(str(error)) from None
        instances = self._supervisor.resolve(name)
        runs = [(instance, run) for instance in instances if (run := instance.run) is not None and run.alive]
        living = [instance for instance, _ in runs]
        if not living:
            raise Refused(f"{name} has no process: it is {instances[0].state}")
        for instance in living:
            self._supervisor.events.add(
                "verb", instance.name, f"kill with {signal_name(number)}, pid {instance.pid}", dict(who)
            )
            try:
                instance.signal(number)
            except ProcessLookupError:
                continue  # it ended by itself just now
            except PermissionError:
                raise Refused(
                    f"{instance.name} (pid {instance.pid}) runs as another user: no permission to signal it"
                ) from None
        if wait and signal_name(number) in ENDING:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEATH_S):
                    for instance, run in runs:
                        await instance.until(partial(_is_over, run))
        named = ", ".join(instance.name for instance in living)
        return self._report([instance.name for instance in living], f"sent {signal_name(number)} to {named}")

    def down(self, who: Who) -> Report:
        """Begins to stop the cluster."""
        self._supervisor.events.add("verb", "", "down", dict(who))
        self._supervisor.stop(f"down, by {who.get('by') or 'an admin'}")
        return self._report(self._supervisor.instances, "the cluster stops")

    # -- the set of processes ---------------------------------------------------------------------------------

    async def scale(self, service: str, instances: int, who: Who, wait: bool = True) -> Report:
        """Starts or stops instances at the end; the others, and the number of hash slots, stay as they are."""
        supervisor = self._supervisor
        known = supervisor.plan.config.services
        if service not in known:
            raise Refused(f'there is no service "{service}"; {suggest(service, known)}')
        if not isinstance(instances, int) or not 0 <= instances <= MAX_INSTANCE:
            raise Refused(f"found {instances!r} instances; allowed: 0 to {MAX_INSTANCE}")
        self._refuse_while_stopping()
        async with self._set_lock:
            scaled = {**self._scaled, service: instances}
            plan = supervisor.plan.scaled(scaled)
            changes = self._compare(plan)
            supervisor.events.add("verb", service, f"scale to {instances}", dict(who))
            self._scaled = scaled
            supervisor.adopt_plan(plan)
            removed, added = self._removed(changes), self._places(changes.added)
        warning = _slot_warning(plan, service, instances)

        async def work() -> list[str]:
            await self._each(removed, self._remove_one)
            return await self._each(added, self._start_one)

        report = await self._carry_out([*added, *removed[::-1]], wait, work)
        text = f"{service} has {instances} instance{'' if instances == 1 else 's'}"
        return {
            **report,
            "text": "; ".join(filter(None, [text, warning, "" if report["ok"] else report["text"]])),
            "warning": warning,
        }

    async def reload(self, dry_run: bool, who: Who, wait: bool = True) -> Report:
        """Reads the file again and applies what changed: see `Changes`. A file with a fault changes nothing."""
        supervisor = self._supervisor
        self._refuse_while_stopping()
        async with self._set_lock:
            old = supervisor.plan
            scaled, plan = self._reread(old)
            changes = self._compare(plan)
            if plan.run_dir != old.run_dir or plan.name != old.name:
                raise Refused(
                    "cluster.name and cluster.run_dir cannot change while it runs; use down, then up"
                )
            if dry_run:
                return {"ok": True, "text": _summary(changes), "processes": {}, **changes.as_map()}
            self._check_new_ports(plan, changes)
            supervisor.events.add("verb", "", f"reload: {_summary(changes)}", dict(who))
            self._scaled = scaled
            supervisor.adopt_plan(plan)
            removed, added = self._removed(changes), self._places(changes.added)
            changed = self._places(changes.changed)
            if (plan.routers, plan.groups) != (old.routers, old.groups):
                await supervisor.rewatch()

        async def work() -> list[str]:
            await self._each(removed, self._remove_one)
            # Together, and the new ones first: what changed may depend on them from now on, and they on what changed.
            both = await asyncio.gather(
                self._each(added, self._start_one), self._rolling(changed, self._renew_one)
            )
            return [failure for failures in both for failure in failures]

        report = await self._carry_out([*added, *changed, *removed[::-1]], wait, work)
        return {
            **report,
            "text": "; ".join(filter(None, [_summary(changes), report["text"]])),
            **changes.as_map(),
        }

    # -- steps, each on one process and in its lane -----------------------------------------------------------

    async def _start_one(self, place: Place) -> str:
        async with place:
            if void := self._void(place):
                return void
            instance = self._supervisor.instances[place.name]
            instance.start()
            return await self._comes_up(instance, place)

    async def _restart_one(self, place: Place, why: str = "restarted") -> str:
        async with place:
            if void := self._void(place):
                return void
            instance = self._supervisor.instances[place.name]
            instance.stop(why, again=True)
            return await self._comes_up(instance, place)

    async def _renew_one(self, place: Place) -> str:
        instance = self._supervisor.instances.get(place.name)
        if instance is not None and not instance.machine.wanted:
            return ""  # stopped by hand: what changed holds from its next start on
        return await self._restart_one(place, "reloaded")

    async def _stop_one(self, place: Place, why: str) -> str:
        async with place:
            await self._bring_down(place, why)
        return ""

    async def _remove_one(self, place: Place) -> str:
        async with place:
            if await self._bring_down(place, "removed"):
                self._supervisor.forget(place.name)
        return ""

    async def _bring_down(self, place: Place, why: str) -> bool:
        """False when somebody removed it already."""
        instance = self._supervisor.instances.get(place.name)
        if instance is None:
            return False
        instance.stop(why)  # once more: a verb that was asked for later may have been first in the lane
        await instance.until(lambda: instance.state in SETTLED)
        return True

    async def _comes_up(self, instance: Instance, place: Place) -> str:
        """Waits until it is up, or will not be soon; why not, or an empty text."""
        await self._supervisor.considered()
        await instance.until(
            lambda: (
                instance.state in CAME_UP_OR_NOT
                or instance.machine.stuck
                or not instance.machine.wanted
                or bool(place.preempted)
            )
        )
        if void := self._void(place):
            return void
        if not instance.machine.wanted:
            return f"{instance.name} {STOPPED}"
        if instance.state is State.RUNNING or (
            instance.state is State.EXITED and not instance.spec.rules.must_report_ready
        ):
            return ""
        return f"{instance.name} did not come up: {instance.machine.detail}"

    def _void(self, place: Place) -> str:
        """Why there is nothing to do any more, or an empty text."""
        # The second: it was on its way out when the verb was asked for.
        gone = "" if place.name in self._supervisor.instances else REMOVED
        return f"{place.name} {why}" if (why := place.preempted or gone) else ""

    async def _each(self, places: Iterable[Place], step: Callable[[Place], Awaitable[str]]) -> list[str]:
        results = await asyncio.gather(*(step(place) for place in places))
        return [failure for failure in results if failure]

    async def _rolling(self, places: Sequence[Place], step: Callable[[Place], Awaitable[str]]) -> list[str]:
        for index, place in enumerate(places):
            failure = await step(place)
            left = [other.name for other in places[index + 1 :]]
            if failure:
                if left:
                    failure += f"; not touched: {', '.join(left)}"
                self._supervisor.events.add("verb", place.name, f"aborted: {failure}")
                return [failure]
        return []

    # -- within -----------------------------------------------------------------------------------------------

    def _asked(self, verb: str, names: Names, who: Who) -> list[str]:
        """The processes meant, each once, in the order they start."""
        asked = list(dict.fromkeys([names] if isinstance(names, str) else map(str, names)))
        meant = {instance.name for name in asked for instance in self._supervisor.resolve(name)}
        self._refuse_while_stopping()
        for name in asked:
            self._supervisor.events.add("verb", name, verb, dict(who))
        return [name for name in self._supervisor.instances if name in meant]

    def _places(self, names: Iterable[str]) -> list[Place]:
        return [self._lanes.place(name) for name in names]

    def _halt(self, names: Iterable[str], why: str, meanwhile: str) -> list[Place]:
        """Stops these at once, whoever waits for them, and takes places behind those who do."""
        places = [self._lanes.preempt(name, meanwhile) for name in names]
        for place in places:
            self._supervisor.instances[place.name].stop(why)
        return places

    def _removed(self, changes: Changes) -> list[Place]:
        return self._halt(reversed(changes.removed), "removed", REMOVED)

    def _compare(self, plan: Plan) -> Changes:
        """What `plan` changes: for a process that is meant to run, against what it really runs as."""
        instances = self._supervisor.instances
        before = {
            name: instances[name].spec if name in instances else spec
            for name, spec in self._supervisor.plan.by_name().items()
        }
        return compare(before, plan.by_name())

    def _refuse_while_stopping(self) -> None:
        if self._supervisor.stopping:
            raise Refused("the cluster is stopping")

    async def _carry_out(
        self, places: Sequence[Place], wait: bool, work: Callable[[], Awaitable[list[str]]]
    ) -> Report:
        # A task of the supervisor's: a caller who goes away does not leave the work half done.
        task = self._supervisor.run_task(work(), "verb")
        names = [place.name for place in places]
        if not wait:
            await asyncio.sleep(0)
            return self._report(names, "begun")
        failures: list[str] = await asyncio.shield(task)
        return self._report(names, "; ".join(failures), ok=not failures)

    def _report(self, names: Iterable[str], text: str, *, ok: bool = True) -> Report:
        present = {name: self._supervisor.instances.get(name) for name in names}
        return {
            "ok": ok,
            "text": text,
            "processes": {
                name: str(instance.state) if instance is not None else "removed"
                for name, instance in present.items()
            },
        }

    def _reread(self, old: Plan) -> tuple[dict[str, int], Plan]:
        try:
            plan = self._read_plan({})
        except LauncherError as error:
            raise Refused(f"nothing was changed: {error}") from None
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
                raise Refused(f"nothing was changed: {reason}")


def _is_over(run: ProcessRun) -> bool:
    return not run.alive


def _summary(changes: Changes) -> str:
    if not changes:
        return "nothing to change"
    parts = [
        f"{verb} {', '.join(names)}"
        for verb, names in (("add", changes.added), ("remove", changes.removed))
        if names
    ]
    parts += [f"restart {name} ({', '.join(keys)})" for name, keys in changes.changed.items()]
    return "; ".join(parts)


def _slot_warning(plan: Plan, service: str, instances: int) -> str:
    section = plan.config.services[service]
    slots = slots_of(section)
    if section.group is None or section.route != "hash" or instances == slots:
        return ""
    if instances > slots:
        several = instances > slots + 1
        extra = f"{service}.{slots + 1}" + (f" to {service}.{instances}" if several else "")
        takes = "take" if several else "takes"
        return f"{service} keeps its {slots} hash slots, so {extra} {takes} every route but hash"
    return f"{service} keeps its {slots} hash slots; keys of those left vacant go on to the next live slot"
