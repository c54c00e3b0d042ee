"""What happened between two looks, and what the launcher's own events say: as drafts for the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luabus.cluster.alarms import merged_alarms
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import Level
from luabus.messages import Message, of_map

_BAD_STATES = ("failed",)
_WARN_STATES = ("backoff", "exited")


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event without its number. `at` in seconds since the epoch; None means now."""

    kind: str
    subject: str
    message: Message
    level: Level = "ok"
    by: str = ""
    origin: str = ""
    at: float | None = None
    source: Literal["dashboard", "launcher"] = "dashboard"

    @property
    def text(self) -> str:
        return str(self.message)


def between(old: Snapshot, new: Snapshot) -> Iterator[NewEvent]:
    """Routers that came or went, masters that changed, new alarms, the launcher lost or found."""
    before = {router.name: router for router in old.routers}
    for router in new.routers:
        last = before.get(router.name)
        if last is None:
            continue
        if last.connected and not router.connected:
            message = Message("health.does-not-answer", router=router.name)
            yield NewEvent("router", router.name, message, "bad" if not new.routed else "warn")
        elif router.connected and not last.connected and last.seen is not None:
            yield NewEvent("router", router.name, Message("event.answers-again", router=router.name))
    if old.routers:
        known = {alarm.key for alarm in merged_alarms(old.routers)}
        for alarm in merged_alarms(new.routers):
            if alarm.key not in known:
                yield NewEvent("alarm", alarm.about, alarm.message, "warn", at=alarm.since or None)
    if old.routed and new.routed:
        yield from _masters(old, new)
    if old.processes_seen is not None and old.launcher_error is None and new.launcher_error is not None:
        message = Message("event.the-launcher-does-not-answer", why=new.launcher_error)
        yield NewEvent("launcher", "launcher", message, "bad")
    elif old.processes_seen is not None and old.launcher_error is not None and new.launcher_error is None:
        yield NewEvent("launcher", "launcher", Message("event.the-launcher-answers-again"))


def _masters(old: Snapshot, new: Snapshot) -> Iterator[NewEvent]:
    before = {group.group: group for group in old.groups()}
    for group in new.groups():
        last = before.get(group.group)
        if last is None or last.master == group.master:
            continue
        names = {slot.service_id: slot.name for slot in (*last.slots, *group.slots)}
        if group.master is None:
            lost = names.get(last.master or "", last.master)
            message = Message("event.has-no-master", group=group.name, name=lost)
            yield NewEvent("master", group.name, message, "warn")
        else:
            name = names.get(group.master, group.master)
            if group.elected or group.epoch:
                message = Message(
                    "event.is-master-of-with-epoch",
                    name=name,
                    group=group.name,
                    epoch=group.epoch,
                )
            else:
                message = Message("event.is-master-of-by-hand", name=name, group=group.name)
            yield NewEvent("master", group.name, message)


def of_launcher(event: Mapping[str, Any]) -> NewEvent:
    """One event of the launcher: `id`, `at`, `kind`, `name`, `message`, `by`, `from`, and `state` for a change of state."""
    state = str(event.get("state", ""))
    level: Level = "bad" if state in _BAD_STATES else "warn" if state in _WARN_STATES else "ok"
    return NewEvent(
        kind=str(event.get("kind", "")),
        subject=str(event.get("name", "")),
        message=of_map(event.get("message")) or Message.verbatim(str(event.get("text", ""))),
        level=level,
        by=str(event.get("by", "")),
        origin=str(event.get("from", "")),
        at=float(event["at"]) if isinstance(event.get("at"), int | float) else None,
        source="launcher",
    )
