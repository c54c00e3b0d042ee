"""The cluster's health in one sentence, and the list of what is wrong, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dashboard.model.answers import Exit, Group, Level, Process
from dashboard.model.snapshot import Snapshot
from dashboard.views.alarms import TABLES_DIFFER, alarms_of
from dashboard.views.entries import foreign
from dashboard.views.formatting import LEVELS, ordinal, size, span, worst
from dashboard.views.routing_tables import differing_groups, hash_slots
from luabus.messages import Message

SLOW_READER_BYTES = 256 * 1024
"""So much waiting for one connection means that it reads too slowly: eight times what a busy one has in one loop."""
SAID_AT_ONCE = 3
"""Problems named in the sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `page` is where to look, `subject` the name to look for."""

    level: Level
    text: Message
    subject: str
    page: str


@dataclass(frozen=True, slots=True)
class Health:
    level: Level
    sentence: Message
    troubles: tuple[Finding, ...]


def assess(snapshot: Snapshot) -> Health:
    """What is wrong, worst first, and the sentence that says it."""
    troubles = [*_routers(snapshot), *_alarms(snapshot), *_launcher(snapshot), *_processes(snapshot)]
    if snapshot.routed:
        troubles += [*_groups(snapshot), *_connections(snapshot)]
    troubles.sort(key=lambda trouble: -LEVELS.index(trouble.level))
    level = worst([trouble.level for trouble in troubles])
    return Health(level, _sentence(snapshot, level, troubles), tuple(troubles))


def exit_text(ended: Exit | None) -> str:
    """How a process ended, in the launcher's words."""
    if ended is None:
        return ""
    if ended.text:
        return ended.text
    if ended.signal:
        return ended.signal
    return f"exit code {ended.code}" if ended.code is not None else ""


def process_level(process: Process) -> Level:
    """Failed is bad; waiting to restart, not ready any more, or down though it is wanted, is a warning; the rest is as it should
    be."""
    if process.state == "failed":
        return "bad"
    return "warn" if process.shown_state in ("backoff", "not ready") or process.missing else "ok"


def lacks_master(group: Group) -> bool:
    """Whether the group should have a master and has none."""
    return (group.elected or group.mode == "master" or group.epoch > 0) and group.master is None


def _sentence(snapshot: Snapshot, level: Level, troubles: list[Finding]) -> Message:
    if not troubles:
        running = sum(process.state == "running" for process in snapshot.processes)
        routers = len(snapshot.routers)
        if routers == 1:
            return Message("health.healthy-processes-run-the-router-answers", running=running)
        return Message("health.healthy-processes-run-routers-agree", running=running, routers=routers)
    said: Message = troubles[0].text
    for trouble in troubles[1:SAID_AT_ONCE]:
        said = Message("health.first-second", first=said, second=trouble.text)
    if len(troubles) > SAID_AT_ONCE:
        said = Message("health.and-more", first=said, more=len(troubles) - SAID_AT_ONCE)
    return Message("health.down" if level == "bad" else "health.degraded", what=said)


def _routers(snapshot: Snapshot) -> Iterator[Finding]:
    if not snapshot.routers:
        yield Finding("bad", Message("health.no-router-is-configured"), "", "routes")
    elif not snapshot.routed:
        seen = max((router.seen for router in snapshot.routers if router.seen is not None), default=None)
        if seen is None:
            text = Message(
                "health.no-router-answers",
                why=snapshot.bus_error or Message("health.none-ever-did-since-this-pages"),
            )
        else:
            text = Message("health.no-router-answers-routes", ago=span(snapshot.at - seen))
        yield Finding("bad", text, "", "routes")
    else:
        for router in snapshot.routers:
            if not router.connected:
                yield Finding(
                    "warn", Message("health.does-not-answer", router=router.name), router.name, "routes"
                )
                continue
            if router.stats and router.stats.draining:
                yield Finding(
                    "warn", Message("health.is-stopping", router=router.name), router.name, "routes"
                )


def _alarms(snapshot: Snapshot) -> Iterator[Finding]:
    said = tuple(f" for group {trouble.subject}" for trouble in _differing(snapshot))
    for alarm in alarms_of(router for router in snapshot.routers if router.connected):
        # What the tables show already is not said again.
        if not (alarm.key[0] == TABLES_DIFFER and alarm.text.endswith(said)):
            yield Finding(alarm.level, Message("health.alarm", alarm=alarm.text), alarm.router, "routes")


def _launcher(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.launcher_error is not None:
        yield Finding(
            "warn",
            Message("health.the-launcher-does-not-answer", why=snapshot.launcher_error),
            "",
            "processes",
        )


def _processes(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.launcher_error is not None:
        return
    # Of the routers `_routers` tells; and where one has just started, everybody is about to be ready there.
    told = {process.name for process in snapshot.processes} if snapshot.newcomers() else set()
    told |= {router.name for router in snapshot.routers}
    for process in snapshot.processes:
        why = exit_text(process.exit)
        if process.state == "failed":
            text = (
                Message("health.has-failed-name-why", name=process.name, why=why)
                if why
                else Message("health.has-failed", name=process.name)
            )
            yield Finding("bad", text, process.name, "processes")
        elif process.state == "backoff":
            text = Message(
                "health.is-restarting-for-the-time",
                name=process.name,
                nth=ordinal(process.restarts + 1),
                n=process.restarts + 1,
            )
            yield Finding("warn", text, process.name, "processes")
        elif process.missing:
            text = Message(
                "health.has-ended-and-stays-down",
                name=process.name,
                why=why,
                policy=process.restart_policy,
            )
            yield Finding("warn", text, process.name, "processes")
        elif process.shown_state == "not ready" and process.name not in told:
            text = Message("health.runs-but-is-not-ready", name=process.name)
            yield Finding("warn", text, process.name, "processes")


def _groups(snapshot: Snapshot) -> Iterator[Finding]:
    newcomers = snapshot.newcomers()
    for router in newcomers:
        text = Message("health.has-just-started-no-service", router=router.name)
        yield Finding("warn", text, router.name, "routes")
    yield from _differing(snapshot)
    names = {slot.service_id: slot.name for group in snapshot.groups() for slot in group.slots}
    for service_id, other in sorted({(one, row.name) for _, one, row in foreign(snapshot)}):
        name = names.get(service_id, service_id)
        text = Message("health.the-entry-of-points", name=name, other=other)
        yield Finding("warn", text, name, "routes")
    for group in snapshot.groups():
        yield from _group(group)


def _differing(snapshot: Snapshot) -> Iterator[Finding]:
    settled = [one for one in snapshot.telling() if one.connected]
    names = {group.group: group.name for group in snapshot.groups()}
    for number in sorted(differing_groups(replace(snapshot, routers=tuple(settled)))):
        name = names.get(number, str(number))
        if len(settled) == 2:
            one, other = settled
            text = Message(
                "health.and-have-different-tables-for-group",
                one=one.name,
                other=other.name,
                group=name,
            )
        else:
            text = Message("health.the-routers-disagree-about-group", group=name)
        yield Finding("warn", text, name, "routes")


def _group(group: Group) -> Iterator[Finding]:
    slots = hash_slots(group)
    vacant = sum(slot.token == 0 for slot in slots)
    if vacant and not any(slot.token for slot in group.slots):
        yield Finding("bad", Message("health.nobody-serves-group", group=group.name), group.name, "routes")
    elif vacant:
        text = Message(
            "health.group-has-of-slots-vacant",
            group=group.name,
            vacant=vacant,
            total=len(slots),
        )
        yield Finding("warn", text, group.name, "routes")
    # Who elects its master, or has had one, is called by it: without one, those calls fail.
    if lacks_master(group):
        yield Finding("bad", Message("health.group-has-no-master", group=group.name), group.name, "routes")


def _connections(snapshot: Snapshot) -> Iterator[Finding]:
    for row in snapshot.connections:
        if row.pending_bytes >= SLOW_READER_BYTES:
            text = Message(
                "health.reads-slowly-wait",
                name=row.name or row.peer,
                size=size(row.pending_bytes),
                router=row.router,
            )
            yield Finding("warn", text, row.name, "connections")
