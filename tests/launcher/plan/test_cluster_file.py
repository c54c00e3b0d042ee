"""What routers are told of a cluster."""

from __future__ import annotations

from typing import Any

from launcher.config.schema import ClusterConfig
from launcher.plan.cluster_file import changed_access, cluster_document
from luabus.routing.cluster_document import ClusterDocument


def document(mail: dict[str, Any] | None = None, **access: Any) -> dict[str, Any]:
    services = {
        "mail": {"run": "a:b", "group": 2, "instances": 3, "route": "hash", **(mail or {})},
        "gateway": {"run": "a:c", "group": 1, "slots": 9},
        "job": {"command": ["true"]},
    }
    return cluster_document(
        ClusterConfig.model_validate({"services": services, "access": access}), {"mail": 3, "gateway": 5}
    )


def test_groups_and_permissions() -> None:
    made = document(
        {"callers": ["gateway"], "methods": {"purge": ["gateway"]}}, default="deny", admin=["gateway"]
    )
    assert made == {
        "groups": {"mail": [2, 3, "hash"], "gateway": [1, 5, ""]},
        "access": {
            "default": "deny", "admin": ["gateway"], "callers": {"mail": ["gateway"]},
            "methods": {"mail": {"purge": ["gateway"]}},
        },
    }  # fmt: skip
    assert ClusterDocument.of(made).as_map() == made


def test_a_list_without_anybody_is_not_no_list() -> None:
    assert document({"callers": []})["access"]["callers"] == {"mail": []}
    assert document()["access"]["callers"] == {}


def test_what_differs_between_two() -> None:
    old = document({"callers": ["gateway"]})
    assert changed_access(old, old) == ()
    assert changed_access(old, document()) == ("services.mail.callers",)
    assert changed_access(old, document({"callers": ["gateway"], "methods": {"x": []}}, default="deny", admin=[])) == (
        "access.default", "access.admin", "services.mail.methods",
    )  # fmt: skip
