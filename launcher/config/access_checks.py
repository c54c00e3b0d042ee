"""Rules of cluster.toml for who may call whom. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from launcher.config.schema import ClusterConfig, Service
from launcher.errors import suggest

Path = tuple[str | int, ...]
Fault = tuple[Path, str]

CLIENT: Final = "client"
"""Whoever has no service's key."""


def access_faults(config: ClusterConfig) -> Iterator[Fault]:
    """Every fault as `(key path, text)`."""
    yield from _unknown(("access", "admin"), config.access.admin, [*config.services, "dashboard"])
    callers = [*config.services, CLIENT]
    for name, service in config.services.items():
        path = ("services", name)
        if service.group is None:
            for key in ("callers", "methods"):
                if key in service.model_fields_set:
                    yield (*path, key), "found without a group; only a service with group = NUMBER is called"
            continue
        yield from _unknown((*path, "callers"), service.callers or (), callers)
        for method, names in service.methods.items():
            at = (*path, "methods", method)
            if not method or method.startswith("luabus."):
                yield at, f'found the method "{method}"; allowed: the name of one of the service\'s own'
            yield from _unknown(at, names, callers)
            yield from _shut_out(at, config, name, service, names)


def _unknown(path: Path, names: Sequence[str], known: Sequence[str]) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name not in known:
            yield (*path, index), f'there is no service "{name}"; {suggest(name, known)}'


def _shut_out(
    path: Path, config: ClusterConfig, name: str, service: Service, names: Sequence[str]
) -> Iterator[Fault]:
    """Whom a method lets in, but the service does not."""
    if service.callers is None and config.access.default == "allow":
        return
    for index, caller in enumerate(names):
        if caller != name and caller not in (service.callers or ()):
            yield (
                (*path, index),
                f'found "{caller}", whom services.{name}.callers does not let in; allowed: those whom it does',
            )
