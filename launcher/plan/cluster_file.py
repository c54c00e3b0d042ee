"""What routers are told of the cluster: its groups, and who may call whom. Pure.

Written to run_dir/cluster.json, which each router reads when it starts, and told to those that run when it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launcher.config.schema import ClusterConfig


def cluster_document(config: ClusterConfig, instances: Mapping[str, int]) -> dict[str, Any]:
    """`{"groups": {name: [number, instances, route]}, "access": {"default", "admin", "callers", "methods"}}`; a route that the
    file does not give is the service's own to say. `instances`: how many of each service are meant to be there."""
    services = {name: service for name, service in config.services.items() if service.group is not None}
    return {
        "groups": {
            name: [
                service.group,
                instances.get(name, 0),
                service.route if "route" in service.model_fields_set else "",
            ]
            for name, service in services.items()
        },
        "access": {
            "default": config.access.default,
            "admin": list(config.access.admin),
            "callers": {
                name: list(service.callers)
                for name, service in services.items()
                if service.callers is not None
            },
            "methods": {
                name: {method: list(names) for method, names in service.methods.items()}
                for name, service in services.items()
                if service.methods
            },
        },
    }


def changed_access(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of cluster.toml about who may call whom in which two documents differ: routers are told, nothing is restarted."""
    before, after = old["access"], new["access"]
    keys = [f"access.{key}" for key in ("default", "admin") if before[key] != after[key]]
    for key in ("callers", "methods"):
        was, now = before[key], after[key]
        keys += [f"services.{name}.{key}" for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return tuple(keys)
