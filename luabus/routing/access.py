"""Who may call whom, and who may steer by hand: what the owners of services say in cluster.toml. Pure.

A caller is a *class*: the name of the service whose key a connection proved, or as which it joined; else `client`. luabus' own
programs call on behalf of people, so they are `client` as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from luabus.errors import ConfigError, Forbidden
from luabus.messages import Message
from luabus.protocol.principal import Principal

CLIENT_CLASS: Final = "client"
"""The class of connections without an id."""
OWN_PROGRAMS: Final = frozenset({"dashboard", "launcher", "router"})
"""Names of processes that are no service."""
ALLOW: Final = "allow"
DENY: Final = "deny"

_LONGEST_NAME: Final = 100
_MOST_NAMES: Final = 1000
_KEYS: Final = ("default", "admin", "callers", "methods")


@dataclass(frozen=True, slots=True)
class Access:
    """`default`: whether a group that names no `callers` lets everybody in ("allow") or nobody ("deny"). `admin`: services
    that may steer by hand. `callers`: by group, whom it lets in; `methods`: by group and method, who of those. A group's own
    instances are always let in: they hold the same key."""

    default: str = ALLOW
    admin: frozenset[str] = frozenset({"dashboard"})
    callers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any, key: str = "access") -> Access:
        """From `{"default", "admin", "callers": {group: [class]}, "methods": {group: {method: [class]}}}`, each key optional.

        Raises `ConfigError` with the key of what is wrong.
        """
        facts = _map(given, key)
        for name in facts:
            if name not in _KEYS:
                raise ConfigError(
                    f"{key}.{name:.100} is not known; allowed: {', '.join(_KEYS)}", key=f"{key}.{name:.100}"
                )
        default = facts.get("default", ALLOW)
        if default not in (ALLOW, DENY):
            raise ConfigError(
                f'{key}.default is {default!r:.100}; allowed: "allow", "deny"', key=f"{key}.default"
            )
        callers, methods = (
            _map(facts.get("callers", {}), f"{key}.callers"),
            _map(facts.get("methods", {}), f"{key}.methods"),
        )
        return cls(
            str(default),
            _names(facts.get("admin", ["dashboard"]), f"{key}.admin"),
            {group: _names(names, f"{key}.callers.{group}") for group, names in callers.items()},
            {
                group: {
                    method: _names(names, f"{key}.methods.{group}.{method}")
                    for method, names in _map(table, f"{key}.methods.{group}").items()
                }
                for group, table in methods.items()
            },
        )

    def as_map(self) -> dict[str, Any]:
        """What `of` takes."""
        return {
            "default": self.default,
            "admin": sorted(self.admin),
            "callers": {group: sorted(names) for group, names in self.callers.items()},
            "methods": {
                group: {method: sorted(names) for method, names in table.items()}
                for group, table in self.methods.items()
            },
        }

    @property
    def restricts(self) -> bool:
        """Whether there is anybody whom some group does not let in."""
        return self.default == DENY or bool(self.callers)

    def may_call(self, caller: str, group: str) -> bool:
        """Whether `group` lets in callers of this class."""
        names = self.callers.get(group)
        return caller == group or (self.default == ALLOW if names is None else caller in names)

    def let_in(self, group: str) -> list[str]:
        """Whom a group that does not let in everybody lets in."""
        return sorted(self.callers.get(group, ()))

    def may_steer(self, principal: Principal) -> bool:
        """Whether this principal may change by hand what routers do."""
        return principal.role in ("admin", "launcher") or (
            principal.role == "service" and principal.name in self.admin
        )


def class_of(principal: Principal, joined_as: str = "") -> str:
    """The class of a connection; `joined_as`: the name of the group that it joined."""
    if principal.role == "service" and principal.name not in OWN_PROGRAMS:
        return principal.name
    return joined_as or CLIENT_CLASS


def not_let_in(caller: str, callee: str, allowed: Iterable[str], method: str = "") -> Forbidden:
    """The error for a call that the callee's owner does not allow."""
    names = list(allowed)
    told = Message(
        "refusal.may-not-call", caller=caller, callee=f"{callee}'s {method}" if method else callee,
        allowed=", ".join(names) or Message("hint.nobody"),
    )  # fmt: skip
    return Forbidden.coded(told, caller=caller, callee=callee, method=method, allowed=names)


def _map(given: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or len(given) > _MOST_NAMES:
        raise ConfigError(f"{key} is not a map of at most {_MOST_NAMES} entries", key=key)
    for name in given:
        _check_name(name, key)
    return given


def _names(given: Any, key: str) -> frozenset[str]:
    if not isinstance(given, list | tuple) or len(given) > _MOST_NAMES:
        raise ConfigError(f"{key} is not a list of at most {_MOST_NAMES} names", key=key)
    for name in given:
        _check_name(name, key)
    return frozenset(given)


def _check_name(name: Any, key: str) -> None:
    if type(name) is not str or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ConfigError(
            f"{key}: {name!r:.100} is no name: a printable text of 1 to {_LONGEST_NAME} characters", key=key
        )
