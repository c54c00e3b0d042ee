"""What people ask of a running cluster: start, stop, restart, kill, scale, reload, down.

Each verb takes `who` (`{"by", "from"}`) for the event log, checks everything before it changes anything (`Refused`), and returns
`{"ok": bool, "text": str, "processes": {name: state}}`. With `wait` False it returns when the work has begun.
Verbs on one process follow one another; those that change the set of processes (scale, reload) follow one another too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from launcher.changes import Changes, compare
from launcher.errors import LauncherError, suggest
from launcher.exits import signal_name, signal_number
from launcher.plan import Plan, slots_of
from launcher.ports import check_address
from launcher.states import SETTLED, State
from launcher.supervisor import Supervisor
from launcher.unit import Unit
from luabus.errors import Refused

Who = Mapping[str, Any]
Report = dict[str, Any]


class Verbs:
    """`read_plan(scaled)` reads and checks cluster.toml anew; it raises `LauncherError`."""

    def __init__(self, supervisor: Supervisor, read_plan: Callable[[Mapping[str, int]], Plan]) -> None:
        self._supervisor = supervisor
        self._read_plan = read_plan
        self._scaled: dict[str, int] = {}
        self._set_lock = asyncio.Lock()

    # -- one process or service -------------------------------------------------------------------------------

    async def start(self, name: str, who: Who, wait: bool = True) -> Report:
        """Starts what is not up; ready or failed when it returns."""
        units = self._asked("start", name, who)
        return await self._carry_out(units, wait, lambda: self._each(units, self._start_one))

    async def stop(self, name: str, who: Who, wait: bool = True) -> Report:
        """Stops it, and it stays stopped; nothing of it lives when it returns."""
        units = self._asked("stop", name, who)[::-1]
        by = f"stopped by {who.get('by') or 'an admin'}"

        async def stop_one(unit: Unit) -> str:
            async with unit.verb_lock:
                unit.stop(by)
                await unit.until(lambda: unit.state in SETTLED)
            return ""

        return await self._carry_out(units, wait, lambda: self._each(units, stop_one))

    async def restart(self, name: str, who: Who, wait: bool = True) -> Report:
        """One instance at a time, the next only when it is ready again; ends at the first that does not come back."""
        units = self._asked("restart", name, who)
        return await self._carry_out(units, wait, lambda: self._rolling(units, self._restart_one))

    async def kill(self, name: str, signal: str | int, who: Who) -> Report:
        """Sends a signal to the process itself. Its restart policy decides what comes after."""
        try:
            number = signal_number(str(signal))
        except ValueError as error:
            raise Refused(str(error)) from None
        units = self._supervisor.resolve(name)
        living = [unit for unit in units if unit.pid is not None]
        if not living:
            raise Refused(f"{name} has no process: it is {units[0].state}")
        for unit in living:
            self._supervisor.events.add(
                "verb", unit.name, f"kill with {signal_name(number)}, pid {unit.pid}", dict(who)
            )
            try:
                unit.signal(number)
            except ProcessLookupError:
                continue  # it ended by itself just now
            except PermissionError:
                raise Refused(
                    f"{unit.name} (pid {unit.pid}) runs as another user: no permission to signal it"
                ) from None
        named = ", ".join(unit.name for unit in living)
        return self._report(living, f"sent {signal_name(number)} to {named}")

    def down(self, who: Who) -> Report:
        """Begins to stop the cluster."""
        self._supervisor.events.add("verb", "", "down", dict(who))
        self._supervisor.stop(f"down, by {who.get('by') or 'an admin'}")
        return self._report(list(self._supervisor.units.values()), "the cluster stops")

    # -- the set of processes ---------------------------------------------------------------------------------

    async def scale(self, service: str, instances: int, who: Who, wait: bool = True) -> Report:
        """Starts or stops instances at the end; the others, and the number of hash slots, stay as they are."""
        supervisor = self._supervisor
        known = supervisor.plan.config.services
        if service not in known:
            raise Refused(f'there is no service "{service}"; {suggest(service, known)}')
        if not isinstance(instances, int) or not 0 <= instances <= 1000:
            raise Refused(f"found {instances!r} instances; allowed: 0 to 1000")
        self._refuse_while_stopping()
        async with self._set_lock:
            scaled = {**self._scaled, service: instances}
            plan = supervisor.plan.scaled(scaled)
            changes = compare(supervisor.plan, plan)
            supervisor.events.add("verb", service, f"scale to {instances}", dict(who))
            self._scaled = scaled
            supervisor.adopt_plan(plan)
        touched = [supervisor.units[name] for name in (*changes.added, *changes.removed)]
        warning = _slot_warning(plan, service, instances)

        async def work() -> list[str]:
            for name in changes.added:
                supervisor.units[name].start()
            await self._remove(changes.removed)
            return await self._each(
                [supervisor.units[n] for n in changes.added if n in supervisor.units], self._start_one
            )

        report = await self._carry_out(touched, wait, work)
        text = f"{service} has {instances} instance{'' if instances == 1 else 's'}"
        return {**report, "text": f"{text}; {warning}" if warning else text, "warning": warning}

    async def reload(self, dry_run: bool, who: Who, wait: bool = True) -> Report:
        """Reads the file again and applies what changed: see `Changes`. A file with a fault changes nothing."""
        supervisor = self._supervisor
        self._refuse_while_stopping()
        async with self._set_lock:
            old = supervisor.plan
            scaled, plan = self._reread(old)
            changes = compare(old, plan)
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
            if (plan.routers, plan.groups) != (old.routers, old.groups):
                await supervisor.rewatch()
        touched = [supervisor.units[n] for n in (*changes.added, *changes.changed, *changes.removed)]

        async def work() -> list[str]:
            await self._remove(changes.removed)
            for name in changes.added:
                supervisor.units[name].start()
            failures = await self._rolling([supervisor.units[n] for n in changes.changed], self._renew)
            return failures + await self._each([supervisor.units[n] for n in changes.added], self._start_one)

        report = await self._carry_out(touched, wait, work)
        return {
            **report,
            "text": "; ".join(filter(None, [_summary(changes), report["text"]])),
            **changes.as_map(),
        }

    # -- steps ------------------------------------------------------------------------------------------------

    async def _start_one(self, unit: Unit) -> str:
        async with unit.verb_lock:
            unit.start()
            return await self._comes_up(unit)

    async def _restart_one(self, unit: Unit) -> str:
        async with unit.verb_lock:
            unit.stop("restarted", again=True)
            return await self._comes_up(unit)

    async def _renew(self, unit: Unit) -> str:
        async with unit.verb_lock:
            wanted = unit.machine.wanted
            unit.stop("reloaded")
            await unit.until(lambda: unit.state in SETTLED)
            fresh = await self._supervisor.respec(unit.name)
            if not wanted:
                return ""
            fresh.start()
            return await self._comes_up(fresh)

    async def _comes_up(self, unit: Unit) -> str:
        """Waits until it is up or will not be soon; why not, or an empty text."""
        done = {State.RUNNING, State.BACKOFF, State.FAILED, State.EXITED}
        await unit.until(lambda: unit.state in done)
        if unit.state is State.RUNNING or (
            unit.state is State.EXITED and not unit.spec.rules.must_report_ready
        ):
            return ""
        return f"{unit.name} did not come up: {unit.machine.detail}"

    async def _each(self, units: Sequence[Unit], step: Callable[[Unit], Awaitable[str]]) -> list[str]:
        results = await asyncio.gather(*(step(unit) for unit in units))
        return [failure for failure in results if failure]

    async def _rolling(self, units: Sequence[Unit], step: Callable[[Unit], Awaitable[str]]) -> list[str]:
        for index, unit in enumerate(units):
            failure = await step(unit)
            left = [other.name for other in units[index + 1 :]]
            if failure:
                if left:
                    failure += f"; not touched: {', '.join(left)}"
                self._supervisor.events.add("verb", unit.name, f"aborted: {failure}")
                return [failure]
        return []

    async def _remove(self, names: Sequence[str]) -> None:
        supervisor = self._supervisor

        async def remove(unit: Unit) -> None:
            async with unit.verb_lock:
                unit.stop("removed")
                await unit.until(lambda: unit.state in SETTLED)
                await supervisor.forget(unit.name)

        await asyncio.gather(*(remove(supervisor.units[name]) for name in reversed(names)))

    # -- within -----------------------------------------------------------------------------------------------

    def _asked(self, verb: str, name: str, who: Who) -> list[Unit]:
        units = self._supervisor.resolve(name)
        self._refuse_while_stopping()
        self._supervisor.events.add("verb", name, verb, dict(who))
        return units

    def _refuse_while_stopping(self) -> None:
        if self._supervisor.stopping:
            raise Refused("the cluster is stopping")

    async def _carry_out(
        self, units: Sequence[Unit], wait: bool, work: Callable[[], Awaitable[list[str]]]
    ) -> Report:
        # A task of the supervisor's: a caller who goes away does not leave the work half done.
        task = self._supervisor.run_task(work(), "verb")
        if not wait:
            await asyncio.sleep(0)
            return self._report(units, "begun")
        failures: list[str] = await asyncio.shield(task)
        return self._report(units, "; ".join(failures), ok=not failures)

    def _report(self, units: Sequence[Unit], text: str, *, ok: bool = True) -> Report:
        present = {unit.name: self._supervisor.units.get(unit.name) for unit in units}
        return {
            "ok": ok,
            "text": text,
            "processes": {
                name: str(unit.state) if unit is not None else "removed" for name, unit in present.items()
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
        own = {unit.spec.address for unit in self._supervisor.units.values()}
        touched = {*changes.added, *changes.changed}
        for spec in plan.specs:
            if spec.name in touched and spec.address not in own and (reason := check_address(spec)):
                raise Refused(f"nothing was changed: {reason}")


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
