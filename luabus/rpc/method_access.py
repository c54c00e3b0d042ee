"""Who may call which method of a service: its owner says so, routers tell it, and the service enforces it.

Each router's word holds for the calls that come through it. Only methods that somebody has restricted are looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from luabus.errors import Forbidden
from luabus.ids import CLIENT_BASE
from luabus.routing.access import CLIENT_CLASS, not_let_in
from luabus.rpc.context import caller
from luabus.rpc.signatures import Method


class _Told:
    """One router's word."""

    __slots__ = ("clients", "groups", "methods")

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.methods: dict[str, list[str]] = {
            str(method): [str(name) for name in names] for method, names in facts["methods"].items()
        }
        self.groups = {int(number): str(name) for number, name in facts["groups"].items()}
        self.clients = {int(known): str(name) for known, name in facts["clients"].items()}

    def class_of(self, source: int) -> str:
        if source >= CLIENT_BASE:
            return self.clients.get(source, CLIENT_CLASS)
        return self.groups.get(source >> 16, "")


class MethodAccess:
    """The rules for `methods`, by the token of the stream to the router that told them. A method without a rule is `guarded` no
    more, and costs nothing."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._told: dict[int, _Told] = {}

    def tell(self, facts: dict[str, Any]) -> None:
        """A router's word: `{"methods": {method: [class]}, "groups": {number: class}, "clients": {id: class}}`."""
        self._told[caller().stream.token] = _Told(facts)
        self._mark()

    def tell_caller(self, known: int, name: str) -> None:
        """A router's word: of which class a connection without an id is; "": it is gone."""
        told = self._told.get(caller().stream.token)
        if told is not None and name:
            told.clients[known] = name
        elif told is not None:
            told.clients.pop(known, None)

    def keep(self, tokens: Iterable[int]) -> None:
        """Only these streams are there: what was told over others is over."""
        there = set(tokens)
        self._told = {token: told for token, told in self._told.items() if token in there}
        self._mark()

    def guards(self, method: str) -> bool:
        """Whether some router has a rule for it."""
        return any(method in told.methods for told in self._told.values())

    def refusal(self, token: int, source: int, method: str, own_group: int, callee: str) -> Forbidden | None:
        """Why `source`, whose call came over the stream `token`, may not call a method; None when it may."""
        told = self._told.get(token)
        allowed = told.methods.get(method) if told is not None else None
        if told is None or allowed is None or (source < CLIENT_BASE and source >> 16 == own_group):
            return None
        known = told.class_of(source)
        if known in allowed or known == told.groups.get(own_group):
            return None
        return not_let_in(known or f"group {source >> 16}", callee, allowed, method)

    def _mark(self) -> None:
        for name, method in self._methods.items():
            method.guarded = self.guards(name)
