"""The routers' alarms, each said once: several routers raise the same one, in the same words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.model.answers import Level
from dashboard.model.snapshot import RouterState

TABLES_DIFFER: Final = "tables differ"


@dataclass(frozen=True, slots=True)
class Said:
    """`key` is the same as long as the alarm lasts; `router` is the first that raises it; `since` in seconds since the epoch."""

    key: tuple[str, str]
    text: str
    level: Level
    router: str
    since: float


def alarms_of(routers: Iterable[RouterState]) -> list[Said]:
    """In the order in which the routers give them."""
    raised: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for router in routers:
        for alarm in router.stats.alarms if router.stats else ():
            raised.setdefault((alarm.kind, alarm.text), []).append((router.name, alarm.since))
    return [
        Said(
            key,
            _text(*key, [name for name, _ in by]),
            _level(key[0]),
            by[0][0],
            min(since for _, since in by),
        )
        for key, by in raised.items()
    ]


def _text(kind: str, text: str, routers: Sequence[str]) -> str:
    """A service's complaint and a difference of tables name whom they are about; the others are the routers' own."""
    return text if kind in ("service", TABLES_DIFFER) else f"{', '.join(routers)}: {text}"


def _level(kind: str) -> Level:
    # Each router still serves by its own table.
    return "warn" if kind == TABLES_DIFFER else "bad"
