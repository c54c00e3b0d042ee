"""Who may call whom, as cluster.toml says it."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.config.access_checks import access_faults
from launcher.config.schema import ClusterConfig

MAIL = {"run": "a:b", "group": 2}
GATEWAY = {"run": "a:c", "group": 1}


def found(mail: dict[str, Any], **sections: Any) -> list[tuple[tuple[str | int, ...], str]]:
    services = {"mail": {**MAIL, **mail}, "gateway": GATEWAY, **sections.pop("services", {})}
    return list(access_faults(ClusterConfig.model_validate({"services": services, **sections})))


@pytest.mark.parametrize(
    ("mail", "access"),
    [
        ({}, {}), ({"callers": ["gateway", "client"]}, {}), ({"callers": []}, {"default": "deny"}),
        ({"methods": {"purge": ["gateway"]}}, {}), ({"callers": ["gateway"], "methods": {"purge": ["gateway", "mail"]}}, {}),
        ({"callers": ["gateway"], "methods": {"purge": []}}, {}), ({}, {"admin": ["dashboard", "gateway"]}), ({}, {"admin": []}),
    ],
)  # fmt: skip
def test_what_may_be(mail: dict[str, Any], access: dict[str, Any]) -> None:
    assert found(mail, access=access) == []


@pytest.mark.parametrize(
    ("mail", "access", "path", "words"),
    [
        ({"callers": ["gatevay"]}, {}, ("services", "mail", "callers", 0), 'did you mean "gateway"?'),
        ({"callers": ["gateway", "router"]}, {}, ("services", "mail", "callers", 1), 'there is no service "router"'),
        ({"methods": {"purge": ["clint"]}}, {}, ("services", "mail", "methods", "purge", 0), 'did you mean "client"?'),
        (
            {"callers": ["gateway"], "methods": {"purge": ["client"]}}, {}, ("services", "mail", "methods", "purge", 0),
            "whom services.mail.callers does not let in",
        ),
        (
            {"methods": {"purge": ["gateway"]}}, {"default": "deny"}, ("services", "mail", "methods", "purge", 0),
            "whom services.mail.callers does not let in",
        ),
        ({"methods": {"luabus.ping": []}}, {}, ("services", "mail", "methods", "luabus.ping"), "allowed: the name of one"),
        ({"methods": {"": []}}, {}, ("services", "mail", "methods", ""), "allowed: the name of one"),
        ({}, {"admin": ["client"]}, ("access", "admin", 0), 'there is no service "client"'),
        ({}, {"admin": ["dashbord"]}, ("access", "admin", 0), 'did you mean "dashboard"?'),
    ],
)  # fmt: skip
def test_what_may_not_be(
    mail: dict[str, Any], access: dict[str, Any], path: tuple[str | int, ...], words: str
) -> None:
    ((where, text),) = found(mail, access=access)
    assert where == path
    assert words in text


def test_a_program_that_is_not_on_the_bus_has_no_callers() -> None:
    job = {"job": {"command": ["true"], "callers": ["gateway"], "methods": {"x": []}}}
    paths = [path for path, _ in found({}, services=job)]
    assert paths == [("services", "job", "callers"), ("services", "job", "methods")]


def test_a_program_without_a_group_may_be_a_caller() -> None:
    assert found({"callers": ["job"]}, services={"job": {"command": ["true"]}}) == []
