"""The routers' alarms, each once: several routers raise the same one, and when a lease store is down, each router repeats what
each candidate told it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from luabus.cluster.snapshot import RouterState
from luabus.cluster.state import Alarm
from luabus.messages import Message, of_map

TABLES_DIFFER: Final = "tables differ"
SERVICE: Final = "service"
"""The kind of what a service says of itself; its value `name` is the service's."""

NAMES_SHOWN: Final = 5

_VARYING: Final = frozenset({"name", "since"})
"""Values in which two alarms may differ that say the same."""


@dataclass(frozen=True, slots=True)
class MergedAlarm:
    """`key` stays the same as long as the alarm lasts; `about` is the first that it is about: a service that says it of itself,
    or the router that raises it; `values` as the first gave them; `since` in seconds since the epoch, the earliest."""

    key: tuple[str, ...]
    kind: str
    message: Message
    about: str
    values: Mapping[str, Any]
    since: float


def merged_alarms(routers: Iterable[RouterState]) -> list[MergedAlarm]:
    """In the order in which the routers give them."""
    raised: dict[tuple[str, ...], list[tuple[str, Alarm]]] = {}
    for router in routers:
        for alarm in router.stats.alarms if router.stats else ():
            raised.setdefault(_key(alarm), []).append((router.name, alarm))
    return [_merged(key, by) for key, by in raised.items()]


def _key(alarm: Alarm) -> tuple[str, ...]:
    if not alarm.code:
        return alarm.kind, alarm.text
    values = sorted((name, str(value)) for name, value in alarm.values.items() if name not in _VARYING)
    return alarm.kind, alarm.code, *(part for pair in values for part in pair)


def _merged(key: tuple[str, ...], by: Sequence[tuple[str, Alarm]]) -> MergedAlarm:
    first = min((alarm for _, alarm in by), key=lambda alarm: alarm.since)
    routers = list(dict.fromkeys(router for router, _ in by))
    services = list(dict.fromkeys(str(alarm.values["name"]) for _, alarm in by if "name" in alarm.values))
    values = dict(first.values)
    if services:
        values["name"] = _named(sorted(services))
    message = Message(first.code, **_unpacked(values)) if first.code else Message.verbatim(first.text)
    # A service's complaint and a difference of tables name whom they are about; the others are the routers' own.
    if first.kind not in (SERVICE, TABLES_DIFFER):
        message = Message("health.alarm-of", routers=_named(routers), alarm=message)
    about = services[0] if services else routers[0]
    return MergedAlarm(key, first.kind, message, about, first.values, first.since)


def _unpacked(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: of_map(value) or value for name, value in values.items()}


def _named(names: Sequence[str]) -> Message | str:
    if len(names) <= NAMES_SHOWN:
        return ", ".join(names)
    more = len(names) - NAMES_SHOWN
    return Message("health.names-and-more", names=", ".join(names[:NAMES_SHOWN]), more=more)
