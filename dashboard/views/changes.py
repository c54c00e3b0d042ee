"""What happened between two looks, and what the launcher's own events say: as drafts for the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dashboard.i18n import Text, reason
from dashboard.model.answers import Level
from dashboard.model.snapshot import Snapshot
from dashboard.views.alarms import alarms_of
from dashboard.views.audit_texts import noted

_BAD_STATES = ("failed",)
_WARN_STATES = ("backoff", "exited")
_VERBS = {
    **{
        verb: verb
        for verb in ("kill", "start", "stop", "restart", "scale", "reload", "down", "promote", "close")
    },
    **dict.fromkeys(("register", "vacate", "remove", "make"), "register"),
}
"""By the first word of what the launcher writes down."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event without its number. `at` in seconds since the epoch; None means now."""

    kind: str
    subject: str
    said: Text
    level: Level = "ok"
    by: str = ""
    origin: str = ""
    at: float | None = None
    source: Literal["dashboard", "launcher"] = "dashboard"

    @property
    def text(self) -> str:
        return str(self.said)


def between(old: Snapshot, new: Snapshot) -> Iterator[NewEvent]:
    """Routers that came or went, masters that changed, new alarms, the launcher lost or found."""
    before = {router.name: router for router in old.routers}
    for router in new.routers:
        last = before.get(router.name)
        if last is None:
            continue
        if last.connected and not router.connected:
            said = Text("{router} does not answer", router=router.name)
            yield NewEvent("router", router.name, said, "bad" if not new.routed else "warn")
        elif router.connected and not last.connected and last.seen is not None:
            yield NewEvent("router", router.name, Text("{router} answers again", router=router.name))
    if old.routers:
        known = {alarm.key for alarm in alarms_of(old.routers)}
        for alarm in alarms_of(new.routers):
            if alarm.key not in known:
                yield NewEvent("alarm", alarm.router, Text(alarm.text), alarm.level, at=alarm.since or None)
    if old.routed and new.routed:
        yield from _masters(old, new)
    if old.processes_seen is not None and old.launcher_error is None and new.launcher_error is not None:
        said = Text("the launcher does not answer: {why}", why=reason(new.launcher_error))
        yield NewEvent("launcher", "launcher", said, "warn")
    elif old.processes_seen is not None and old.launcher_error is not None and new.launcher_error is None:
        yield NewEvent("launcher", "launcher", Text("the launcher answers again"))


def _masters(old: Snapshot, new: Snapshot) -> Iterator[NewEvent]:
    before = {group.group: group for group in old.groups()}
    for group in new.groups():
        last = before.get(group.group)
        if last is None or last.master == group.master:
            continue
        names = {slot.service_id: slot.name for slot in (*last.slots, *group.slots)}
        if group.master is None:
            lost = names.get(last.master or "", last.master)
            said = Text("{group} has no master: it was {name}", group=group.name, name=lost)
            yield NewEvent("master", group.name, said, "warn")
        else:
            name = names.get(group.master, group.master)
            if group.elected or group.epoch:
                said = Text(
                    "{name} is master of {group} with epoch {epoch}",
                    name=name,
                    group=group.name,
                    epoch=group.epoch,
                )
            else:
                said = Text("{name} is master of {group} by hand", name=name, group=group.name)
            yield NewEvent("master", group.name, said)


def of_launcher(event: Mapping[str, Any]) -> NewEvent:
    """One event of the launcher: `id`, `at`, `kind`, `name`, `text`, `by`, `from`, and `state` for a change of state."""
    state = str(event.get("state", ""))
    level: Level = "bad" if state in _BAD_STATES else "warn" if state in _WARN_STATES else "ok"
    return NewEvent(
        kind=_kind(str(event.get("kind", "")), str(event.get("text", ""))),
        subject=str(event.get("name", "")),
        said=noted(_sentence(str(event.get("name", "")), str(event.get("text", "")))),
        level=level,
        by=str(event.get("by", "")),
        origin=str(event.get("from", "")),
        at=float(event["at"]) if isinstance(event.get("at"), int | float) else None,
        source="launcher",
    )


def _kind(kind: str, text: str) -> str:
    """What a person did goes by the verb, as it does when it is refused: `kill`, not `verb`."""
    words = text.replace(":", " ").split()
    return _VERBS.get(words[0], kind) if kind == "verb" and words else kind


def _sentence(name: str, text: str) -> str:
    """The text, and whom it is about, unless it says so itself."""
    said = text if name in text.split() else f"{name} {text}".strip()
    return said.replace("->", "→")
