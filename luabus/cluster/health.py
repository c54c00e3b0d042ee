"""The cluster's health, judged here and nowhere else: a level, what is wrong, worst first, and the sentence that says it.

bad ("Down"): no router answers; a group with members configured has none live, and not all of them were stopped by hand; a group
that elects its master has been without one for longer than the lease's ttl and 3 s; an essential process has failed; the launcher
does not answer.

warn ("Degraded"): anything failed, crashed, waiting to restart or for what does not come by itself, starting or stopping, not
ready, vacant, pointing at another's connection, slow, or told differently by the routers for longer than 1 s; a router's alarm,
such as a lease store out of reach; a daemon that has ended, with whatever code; anything stopped by hand.

ok ("Healthy"): everything is there that the configuration wants. A job that is done counts as there, `scale x=0` wants none.

Pure. The launcher judges what it sees for `status`, the dashboard for its pages and API; who sees the same, says the same. What a
finding explains (mail.2 is restarting) is not found a second time (its slot is vacant).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from luabus.cluster.alarms import TABLES_DIFFER, merged_alarms
from luabus.cluster.control_client import NOT_LAUNCHED
from luabus.cluster.entries import foreign
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import LEVELS, Exit, GroupState, Level, Process, worst
from luabus.messages import Message, of_map
from luabus.quantities import format_bytes

SLOW_READER_BYTES: Final = 256 * 1024
"""So much waiting for one connection means that it reads too slowly: eight times what a busy one has in one loop."""
ELECTION_GRACE_S: Final = 3.0
"""Beyond the lease's ttl: a lease that ran out has been taken by then."""
SETTLE_S: Final = 1.0
"""Routers that tell a group differently for no longer than this are about to agree."""
SAID_AT_ONCE: Final = 3
"""Findings named in the sentence; the others are counted."""

STARTING: Final = frozenset({"health.is-starting", "health.has-just-started-no-service"})
"""Findings of a cluster that comes up."""

Area = Literal["routes", "processes", "connections"]
State = Literal["healthy", "starting", "degraded", "down", "stopping"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `about` is the name of the process, service, group or router, `area` where to look for it."""

    level: Level
    message: Message
    about: str
    area: Area

    @property
    def code(self) -> str:
        return self.message.code

    def as_map(self) -> dict[str, Any]:
        """`{"code", "values", "level", "about", "text"}`, as status and the HTTP API show it; the text in English."""
        return {**self.message.as_map(), "level": self.level, "about": self.about, "text": str(self.message)}


@dataclass(frozen=True, slots=True)
class Health:
    """`findings` worst first; `state` is the level in the word that `luabus-cluster status` has for it, or tells that the cluster
    is on its way up or down."""

    level: Level
    state: State
    sentence: Message
    findings: tuple[Finding, ...] = ()

    def as_map(self) -> dict[str, Any]:
        """`{"level", "sentence", "problems"}`."""
        problems = [finding.as_map() for finding in self.findings]
        return {"level": self.level, "sentence": str(self.sentence), "problems": problems}

    def level_of(self, *names: str) -> Level:
        """The worst that is found about any of these."""
        return worst([finding.level for finding in self.findings if finding.about in names])


def assess(snapshot: Snapshot) -> Health:
    """The one verdict."""
    if snapshot.launcher.stopping and snapshot.launcher_error is None:
        stopping = Finding("warn", Message("health.the-cluster-stops"), "", "processes")
        return Health("warn", "stopping", Message("health.stopping"), (stopping,))
    findings = [*_launcher(snapshot), *_processes(snapshot)]
    explained = {finding.about for finding in findings}
    findings += _routers(snapshot, explained)
    if snapshot.routed:
        findings += [*_groups(snapshot, explained), *_connections(snapshot), *_alarms(snapshot)]
    findings.sort(key=lambda finding: -LEVELS.index(finding.level))
    level = worst([finding.level for finding in findings])
    codes = {finding.code for finding in findings}
    starting = "health.is-starting" in codes and codes <= STARTING
    states: dict[Level, State] = {
        "ok": "healthy",
        "warn": "starting" if starting else "degraded",
        "bad": "down",
    }
    return Health(level, states[level], _sentence(snapshot, states[level], findings), tuple(findings))


def launcher_silent(why: Message) -> Health:
    """The verdict of somebody who knows nothing, since the launcher does not answer."""
    finding = _silence(why)
    return Health("bad", "down", Message("health.down", what=finding.message), (finding,))


def process_level(process: Process) -> Level:
    """Of one process by itself."""
    finding = _of_process(process, None)
    return finding.level if finding is not None else "ok"


def ending(ended: Exit | None) -> Message | None:
    """How a process ended, if it did; why it could not be started is in the launcher's words."""
    if ended is None or not str(ended):
        return None
    if ended.signal is not None:
        return Message("exit.signal", signal=ended.signal)
    return Message.verbatim(str(ended)) if ended.code is None else Message("exit.code", code=ended.code)


def _sentence(snapshot: Snapshot, state: State, findings: list[Finding]) -> Message:
    if not findings:
        running = sum(process.state == "running" for process in snapshot.processes)
        routers = len(snapshot.routers)
        if routers == 1:
            return Message("health.healthy-processes-run-the-router-answers", running=running)
        return Message("health.healthy-processes-run-routers-agree", running=running, routers=routers)
    what: Message = findings[0].message
    for finding in findings[1:SAID_AT_ONCE]:
        what = Message("health.first-second", first=what, second=finding.message)
    if len(findings) > SAID_AT_ONCE:
        what = Message("health.and-more", first=what, more=len(findings) - SAID_AT_ONCE)
    codes = {"down": "health.down", "starting": "health.starting"}
    return Message(codes.get(state, "health.degraded"), what=what)


# --- the launcher and its processes ----------------------------------------------------------------------------


def _silence(why: Message) -> Finding:
    return Finding("bad", Message("health.the-launcher-does-not-answer", why=why), "launcher", "processes")


def _launcher(snapshot: Snapshot) -> Iterator[Finding]:
    error = snapshot.launcher_error
    if error is not None and error.code == NOT_LAUNCHED:
        yield Finding("warn", error, "launcher", "processes")
    elif error is not None:
        yield _silence(error)


def _processes(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.launcher_error is not None:
        return  # what was known of them says nothing any more
    for service, processes in snapshot.services().items():
        deeds = {(process.held, process.held_by) for process in processes}
        together = len(processes) > 1 and len(deeds) == 1 and processes[0].held is not None
        if together:
            yield Finding("warn", _held(processes[0], service), service, "processes")
        for process in processes:
            if not together:
                finding = _of_process(process, snapshot)
                if finding is not None:
                    yield finding
            if process.log_problem:
                lost, why = process.log_lost_lines, process.log_problem
                text = Message("health.the-log-cannot-be-written", name=process.name, lost=lost, why=why)
                yield Finding("warn", text, process.name, "processes")


def _held(process: Process, name: str) -> Message:
    """What somebody did by hand, to a process or to the service `name`."""
    return Message(f"health.was-{process.held}-by", name=name, by=process.held_by)


def _of_process(process: Process, snapshot: Snapshot | None) -> Finding | None:
    """What is wrong with it; what the routers' tables say of it too, where there is a snapshot."""
    name = process.name
    level: Level = "warn"
    text: Message | None = None
    if process.held is not None:
        text = _held(process, name)
    elif process.state == "failed":
        level = "bad" if process.essential else "warn"
        why = process.reason if process.detail else ending(process.exit)
        text = Message("health.has-failed", name=name)
        if why:
            text = Message("health.has-failed-name-why", name=name, why=why)
    elif process.state == "backoff":
        text = Message(
            "health.is-restarting-for-the-time",
            name=name,
            nth=ordinal(process.restarts + 1),
            n=process.restarts + 1,
        )
    elif process.missing:
        text = Message(
            "health.has-ended-and-stays-down",
            name=name,
            why=ending(process.exit) or "",
            policy=process.restart_policy,
        )
    elif process.stuck:
        text = Message("health.cannot-start", name=name, why=process.reason)
    elif process.state in ("starting", "stopping") and process.wanted is not False:
        why_not = _not_ready(process, snapshot) if process.pid else None
        told = why_not or process.reason
        code = "health.is-starting" if process.state == "starting" else "health.is-stopping-to-start-again"
        text = Message(code, name=name, why=told)
    elif process.shown_state == "not ready" and not _explained_by_routers(process, snapshot):
        why_not = _not_ready(process, snapshot)
        text = (
            Message("health.runs-but-is-not-ready-why", name=name, why=why_not)
            if why_not
            else Message("health.runs-but-is-not-ready", name=name)
        )
    return None if text is None else Finding(level, text, name, "processes")


def _explained_by_routers(process: Process, snapshot: Snapshot | None) -> bool:
    """A router that is not ready does not answer; where none does nobody is ready, and where one has just started everybody is
    about to be."""
    if snapshot is None:
        return False
    if process.kind == "router" or process.name in {router.name for router in snapshot.routers}:
        return True
    return _by_bus(process) and (not snapshot.routed or bool(snapshot.newcomers()))


def _by_bus(process: Process) -> bool:
    return process.ready_by == "bus" or (not process.ready_by and process.group is not None)


def _not_ready(process: Process, snapshot: Snapshot | None) -> Message | None:
    """Why it is not ready, as far as the routing tables tell, or the launcher."""
    lacking = of_map(process.lacking)
    if snapshot is None or not snapshot.routed or process.group is None or not _by_bus(process):
        return lacking
    connected = [router for router in snapshot.routers if router.connected]
    number, service_id = process.group, process.service_id
    without = [
        router.name
        for router in connected
        if not any(
            slot.service_id == service_id
            for group in router.groups
            if group.group == number
            for slot in group.live
        )
    ]
    if len(without) == len(connected):
        return Message("health.it-is-registered-at-no-router")
    return Message("health.it-is-not-registered-at", routers=", ".join(without)) if without else lacking


# --- the routers and what their tables say ---------------------------------------------------------------------


def _routers(snapshot: Snapshot, explained: Iterable[str]) -> Iterator[Finding]:
    if not snapshot.routers:
        yield Finding("bad", Message("health.no-router-is-configured"), "", "routes")
        return
    names = {router.name for router in snapshot.routers}
    processes = [process for process in snapshot.processes if process.name in names]
    if not snapshot.routed:
        coming = snapshot.launcher_error is None and all(process.on_its_first_way_up for process in processes)
        if not (processes and coming):
            yield Finding("bad", Message("health.no-router-answers"), "", "routes")
        return
    for router in snapshot.routers:
        if router.name in explained:
            continue
        if not router.connected:
            text = Message("health.does-not-answer", router=router.name)
            yield Finding("warn", text, router.name, "routes")
        elif router.stats and router.stats.draining:
            text = Message("health.is-stopping", router=router.name)
            yield Finding("warn", text, router.name, "routes")


def _groups(snapshot: Snapshot, explained: Iterable[str]) -> Iterator[Finding]:
    for router in snapshot.newcomers():
        text = Message("health.has-just-started-no-service", router=router.name)
        yield Finding("warn", text, router.name, "routes")
    groups = snapshot.groups()
    yield from _differing(snapshot, groups)
    names = {slot.service_id: slot.name for group in groups for slot in group.slots}
    for service_id, other in sorted({(entry, row.name) for _, entry, row in foreign(snapshot)}):
        name = names.get(service_id, service_id)
        text = Message("health.the-entry-of-points", name=name, other=other)
        yield Finding("warn", text, name, "routes")
    known = snapshot.launcher_error is None
    for group in _with_those_configured(snapshot, groups):
        members = [process for process in snapshot.processes if process.group == group.group] if known else []
        if not group.live:
            yield from _deserted(snapshot, group, members)
            continue
        yield from _vacancies(snapshot, group, members, explained)
        if snapshot.lasted_s(f"masterless.{group.group}") > snapshot.launcher.lease_ttl_s + ELECTION_GRACE_S:
            text = Message("health.group-has-no-master", group=group.name)
            yield Finding("bad", text, group.name, "routes")


def _differing(snapshot: Snapshot, groups: list[GroupState]) -> Iterator[Finding]:
    settled = [router.name for router in snapshot.telling() if router.connected]
    for group in groups:
        if snapshot.lasted_s(f"differing.{group.group}") <= SETTLE_S:
            continue
        if len(settled) == 2:
            one, other = settled
            text = Message(
                "health.and-have-different-tables-for-group", one=one, other=other, group=group.name
            )
        else:
            text = Message("health.the-routers-disagree-about-group", group=group.name)
        yield Finding("warn", text, group.name, "routes")


def _with_those_configured(snapshot: Snapshot, groups: list[GroupState]) -> Iterator[GroupState]:
    """The groups of the tables, and those of which nobody ever came."""
    yield from groups
    if snapshot.launcher_error is None:
        known = {group.group for group in groups}
        names = {process.group: process.service for process in snapshot.processes if process.group}
        for number in sorted(names.keys() - known):
            yield GroupState(number, names[number])


def _deserted(snapshot: Snapshot, group: GroupState, members: list[Process]) -> Iterator[Finding]:
    """A group without a live member."""
    if members:
        wanted = [process for process in members if process.held is None and process.wanted is not False]
        if not wanted or all(process.on_its_first_way_up for process in wanted):
            return
    elif not group.slots or group.group in snapshot.launcher.groups.values():
        return  # scaled to none
    yield Finding("bad", Message("health.nobody-serves-group", group=group.name), group.name, "routes")


def _vacancies(
    snapshot: Snapshot, group: GroupState, members: list[Process], explained: Iterable[str]
) -> Iterator[Finding]:
    """Entries that nobody holds although somebody should."""
    by_id = {process.service_id: process for process in members}
    ours = group.group in snapshot.launcher.groups.values()
    # Whose place has no process was scaled away, if the group is of this configuration.
    vacant = [
        slot
        for slot in group.slots
        if not slot.token
        and (_unexplained(by_id[slot.service_id], explained) if slot.service_id in by_id else not ours)
    ]
    if vacant:
        text = Message(
            "health.group-has-of-slots-vacant", group=group.name, vacant=len(vacant), total=len(group.slots)
        )
        yield Finding("warn", text, group.name, "routes")


def _unexplained(process: Process, explained: Iterable[str]) -> bool:
    return not {process.name, process.service} & set(explained)


# --- connections and alarms ------------------------------------------------------------------------------------


def _connections(snapshot: Snapshot) -> Iterator[Finding]:
    for row in snapshot.connections:
        if row.pending_bytes >= SLOW_READER_BYTES:
            text = Message(
                "health.reads-slowly-wait",
                name=row.name or row.peer,
                size=format_bytes(row.pending_bytes),
                router=row.router,
            )
            yield Finding("warn", text, row.name, "connections")


def _alarms(snapshot: Snapshot) -> Iterator[Finding]:
    differing = {
        group.name for group in snapshot.groups() if snapshot.lasted_s(f"differing.{group.group}") > SETTLE_S
    }
    for alarm in merged_alarms(router for router in snapshot.routers if router.connected):
        # What the tables show already is not said again.
        if not (alarm.kind == TABLES_DIFFER and alarm.values.get("group") in differing):
            text = Message("health.alarm", alarm=alarm.message)
            yield Finding("warn", text, alarm.about, "routes")


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 12th, 13th, 21st ..."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
