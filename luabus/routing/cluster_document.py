"""What a cluster's owner says once for all routers: which groups there are, and who may call whom. Pure.

`{"groups": {name: [number, instances, mode]}, "access": {...}}`: the launcher writes it to a file that routers read when they
start, and tells it to those that run (`luabus.configure`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from luabus.errors import ConfigError
from luabus.ids import MAX_GROUP, MAX_INSTANCE
from luabus.routing.access import CLIENT_CLASS, Access

MODES: Final = ("", "hash", "master", "random", "broadcast")
"""How callers usually reach a group; "" where nobody says."""

_LONGEST_NAME: Final = 100


class GroupFacts(NamedTuple):
    """A group's number, how many instances it should have (None: nobody says), and its usual route."""

    number: int
    instances: int | None = None
    mode: str = ""


@dataclass(frozen=True, slots=True)
class ClusterDocument:
    """`groups` by name: no two have one number."""

    groups: Mapping[str, GroupFacts] = field(default_factory=dict)
    access: Access = field(default_factory=Access)

    @classmethod
    def of(cls, given: Any) -> ClusterDocument:
        """From a plain map. Raises `ConfigError` with the key of what is wrong."""
        if not isinstance(given, Mapping) or not {"groups", "access"} >= set(given):
            raise ConfigError(
                'a cluster document is a map {"groups": {...}, "access": {...}}', key="document"
            )
        return cls(groups_of(given.get("groups", {}), "groups"), Access.of(given.get("access", {})))

    @classmethod
    def parse(cls, text: str) -> ClusterDocument:
        """From JSON. Raises `ConfigError`."""
        return cls.of(_json(text, "document"))

    def as_map(self) -> dict[str, Any]:
        """What `of` takes."""
        return {
            "groups": {name: list(facts) for name, facts in self.groups.items()},
            "access": self.access.as_map(),
        }


def groups_of(given: Any, key: str) -> dict[str, GroupFacts]:
    """Groups by name from `{name: [number, instances, mode]}`; the number alone will do. Raises `ConfigError`."""
    if not isinstance(given, Mapping):
        raise ConfigError(f'{key} is not a map such as {{"mail": [2, 3]}}', key=key)
    groups: dict[str, GroupFacts] = {}
    owners: dict[int, str] = {}
    for name, facts in given.items():
        if type(name) is not str or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise ConfigError(f"{key}: {name!r:.100} is no group's name", key=key)
        if name == CLIENT_CLASS:
            raise ConfigError(
                f"{key}: {name!r} is what connections without an id are called; name the group otherwise",
                key=key,
            )
        at = f"{key}.{name}"
        if not isinstance(facts, list | tuple) or not 1 <= len(facts) <= 3:
            raise ConfigError(
                f"{at} is not a list such as [2, 3]: a group's number and its instances", key=at
            )
        group = GroupFacts(*facts)
        if type(group.number) is not int or not 1 <= group.number <= MAX_GROUP:
            raise ConfigError(
                f"{at}: found the group {group.number!r:.50}; allowed: 1 to {MAX_GROUP}", key=at
            )
        count = group.instances
        if count is not None and (type(count) is not int or not 0 <= count <= MAX_INSTANCE):
            raise ConfigError(f"{at}: found {count!r:.50} instances; allowed: 0 to {MAX_INSTANCE}", key=at)
        if group.mode not in MODES:
            raise ConfigError(
                f"{at}: found the route {group.mode!r:.50}; allowed: {', '.join(MODES[1:])}", key=at
            )
        other = owners.setdefault(group.number, name)
        if other != name:
            raise ConfigError(f"{at}: group {group.number} is {key}.{other} already", key=at)
        groups[name] = group
    return groups


def _json(text: str, key: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{key}: {twice!r:.100} stands there twice", key=key)
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise ConfigError(f'{key} {text!r:.200} is not JSON such as {{"mail": [2, 3]}}', key=key) from None
