"""Who may call whom, from a plain map."""

from __future__ import annotations

from typing import Any

import pytest

from luabus.errors import ConfigError, Forbidden, from_wire
from luabus.protocol.principal import ADMIN, CLIENT, Principal
from luabus.routing.access import Access, class_of, not_let_in

MAIL = Principal("service", "mail")


def test_by_default_everybody_may_call_everybody_and_the_dashboard_may_steer() -> None:
    for access in (Access(), Access.of({})):
        assert access.may_call("client", "mail")
        assert not access.restricts
        assert access.may_steer(Principal("service", "dashboard"))
        assert not access.may_steer(MAIL)


@pytest.mark.parametrize(
    ("facts", "caller", "group", "may"),
    [
        ({"callers": {"mail": ["gateway"]}}, "gateway", "mail", True),
        ({"callers": {"mail": ["gateway"]}}, "client", "mail", False),
        ({"callers": {"mail": ["gateway"]}}, "client", "chat", True),
        ({"callers": {"mail": ["gateway", "client"]}}, "client", "mail", True),
        ({"callers": {"mail": []}}, "gateway", "mail", False),
        ({"callers": {"mail": []}}, "mail", "mail", True),
        ({"default": "deny"}, "gateway", "mail", False),
        ({"default": "deny"}, "mail", "mail", True),
        ({"default": "deny", "callers": {"mail": ["gateway"]}}, "gateway", "mail", True),
        ({"default": "deny", "callers": {"mail": ["gateway"]}}, "mail", "gateway", False),
    ],
)
def test_callers(facts: dict[str, Any], caller: str, group: str, may: bool) -> None:
    access = Access.of(facts)
    assert access.may_call(caller, group) is may
    assert access.restricts
    assert Access.of(access.as_map()) == access


def test_methods_alone_restrict_nobody_at_the_router() -> None:
    assert not Access.of({"methods": {"mail": {"purge": ["director"]}}}).restricts


@pytest.mark.parametrize(
    ("facts", "key"),
    [
        ([], "access"), ({"defualt": "deny"}, "access.defualt"), ({"default": "no"}, "access.default"),
        ({"default": None}, "access.default"), ({"admin": "dashboard"}, "access.admin"), ({"admin": [1]}, "access.admin"),
        ({"callers": []}, "access.callers"), ({"callers": {"mail": "gateway"}}, "access.callers.mail"),
        ({"callers": {"mail": [""]}}, "access.callers.mail"), ({"callers": {"mail": ["a\x1b[2J"]}}, "access.callers.mail"),
        ({"callers": {"mail": {"gateway": 1}}}, "access.callers.mail"), ({"callers": {2: ["a"]}}, "access.callers"),
        ({"methods": {"mail": ["purge"]}}, "access.methods.mail"),
        ({"methods": {"mail": {"purge": "director"}}}, "access.methods.mail.purge"),
        ({"methods": {"mail": {"x" * 200: ["director"]}}}, "access.methods.mail"),
        ({"callers": {"mail": ["a"] * 1001}}, "access.callers.mail"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_key(facts: Any, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Access.of(facts)
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("principal", "joined_as", "known"),
    [
        (ADMIN, "", "client"), (ADMIN, "mail", "mail"), (CLIENT, "", "client"), (MAIL, "", "mail"), (MAIL, "mail", "mail"),
        (Principal("service", "dashboard"), "", "client"), (Principal("launcher", "launcher"), "", "client"),
        (Principal("router", "router.1"), "", "client"),
    ],
)  # fmt: skip
def test_the_class_of_a_connection(principal: Principal, joined_as: str, known: str) -> None:
    assert class_of(principal, joined_as) == known


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        (ADMIN, True), (Principal("launcher", "x"), True), (Principal("service", "ops"), True), (MAIL, False),
        (CLIENT, False), (Principal("router", "ops"), False), (Principal("client", "ops"), False),
        (Principal("service", "dashboard"), False),
    ],
)  # fmt: skip
def test_who_may_steer(principal: Principal, may: bool) -> None:
    assert Access.of({"admin": ["ops"]}).may_steer(principal) is may


def test_the_error_says_who_whom_and_who_may_and_travels() -> None:
    error = from_wire(not_let_in("client", "mail", ["director", "gateway"], "purge").to_wire())
    assert isinstance(error, Forbidden)
    assert str(error) == "client may not call mail's purge; allowed: director, gateway"
    assert (error.caller, error.callee, error.method) == ("client", "mail", "purge")
    assert list(error.allowed) == ["director", "gateway"]
    assert str(not_let_in("client", "mail", [])) == "client may not call mail; allowed: nobody"
