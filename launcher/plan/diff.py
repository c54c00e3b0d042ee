"""The difference between what runs and a plan: what a reload or a scale would do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from launcher.config.schema import ClusterConfig
from launcher.plan.spec import ProcessSpec


@dataclass(frozen=True)
class Changes:
    """What a reload would do: names of processes; for the changed ones, which keys differ. `told`: keys of which only the
    routers are told."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.told)

    def as_map(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": {name: list(keys) for name, keys in self.changed.items()},
            "unchanged": list(self.unchanged),
            "told": list(self.told),
        }


def compare(before: Mapping[str, ProcessSpec], after: Mapping[str, ProcessSpec]) -> Changes:
    """What changes, by process names. Only what concerns a process counts as a change of it."""
    changed: dict[str, tuple[str, ...]] = {}
    unchanged: list[str] = []
    for name in after:
        if name not in before:
            continue
        keys = _differing(before[name].settings, after[name].settings)
        if keys:
            changed[name] = keys
        else:
            unchanged.append(name)
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=changed,
        unchanged=tuple(unchanged),
    )


def takes_away(old: ClusterConfig, new: ClusterConfig) -> tuple[str, ...]:
    """What a reload should do only for somebody who means it, by keys: services that are gone from the file, as from one that was
    emptied or cut off; and another address of the routers, at which nobody from outside finds them any more."""
    gone = [f"services.{name}" for name in old.services if name not in new.services]
    moved = [
        f"routers.{key}" for key in ("host", "port") if getattr(old.routers, key) != getattr(new.routers, key)
    ]
    return (*gone, *moved)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(key for key in sorted({*old, *new}) if old.get(key) != new.get(key))
