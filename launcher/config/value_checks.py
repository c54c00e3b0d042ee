"""Rules of cluster.toml for values that the system gets as they are: words, environment variables, resource limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path as Folder
from typing import Any, Final

from launcher.config.schema import ClusterConfig, Limit, Probe, Service
from launcher.errors import suggest

Path = tuple[str | int, ...]
Fault = tuple[Path, str]

GIVEN: Final = frozenset({"LUABUS_LEASE_USER", "LUABUS_LEASE_PASSWORD", "LUABUS_LEASE_PASSWORD_FILE"})
"""What of luabus' own variables the launcher leaves to whoever writes the file."""

MOST: Final = 2**63 - 1
"""The highest limit that a system knows; Linux takes it for none at all."""


def value_faults(config: ClusterConfig) -> Iterator[Fault]:
    """Every fault as `(key path, text)`."""
    yield from _nul_characters((), config.model_dump(exclude_unset=True))
    dashboard = config.dashboard
    yield from _home(("cluster", "run_dir"), config.cluster.run_dir)
    yield from _home(("dashboard", "tls_cert"), dashboard.tls_cert)
    yield from _home(("dashboard", "tls_key"), dashboard.tls_key)
    yield from _variables(("cluster", "env"), config.cluster.env)
    for name, service in config.services.items():
        yield from _service(("services", name), service)
    yield from _store(config.lease.store)


def _service(path: Path, service: Service) -> Iterator[Fault]:
    yield from _variables((*path, "env"), service.env)
    yield from _command((*path, "command"), service.command)
    yield from _limits((*path, "rlimits"), service.rlimits)
    for key in ("ready", "startup", "liveness"):
        probe: Probe | None = getattr(service, key)
        if probe is None:
            continue
        yield from _command((*path, key, "exec"), probe.exec)
        if key != "ready" and probe.success_threshold != 1:
            yield (
                (*path, key, "success_threshold"),
                f"found {probe.success_threshold}; allowed: 1, as one success ends what this probe is for",
            )


def _nul_characters(path: Path, value: Any) -> Iterator[Fault]:
    """No name, path, word or variable of any system can hold one."""
    if isinstance(value, str) and "\0" in value:
        yield path, "found a NUL character; allowed: text without any"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if "\0" in str(key):
                yield path, f"found the name {key!r}, with a NUL character; allowed: names without any"
            yield from _nul_characters((*path, str(key)), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _nul_characters((*path, index), inner)


def _home(path: Path, folder: str | None) -> Iterator[Fault]:
    try:
        Folder(folder or "").expanduser()
    except RuntimeError:
        yield (
            path,
            f'found "{folder}": there is no such home; allowed: ~/..., or the home of a user of this machine',
        )


def _variables(path: Path, variables: Mapping[str, str]) -> Iterator[Fault]:
    for name in variables:
        if (fault := variable_fault(name)) is not None:
            yield (*path, name) if name else path, fault


def variable_fault(name: str) -> str | None:
    """Why nobody can set an environment variable of this name; None when it is all right."""
    if not name:
        return 'found the name ""; allowed: a name, such as LANG'
    if "=" in name:
        return f'found the name "{name}"; allowed: a name without "="'
    if name.startswith("LUABUS_") and name not in GIVEN:
        return f"is set by the launcher; allowed: names that do not begin with LUABUS_, and {', '.join(sorted(GIVEN))}"
    return None


def _command(path: Path, command: list[str] | None) -> Iterator[Fault]:
    if command and not command[0].strip():
        yield (*path, 0), f'found "{command[0]}"; allowed: a program\'s name or path'


def _limits(path: Path, limits: Mapping[str, Limit | list[Limit]]) -> Iterator[Fault]:
    known = limit_names()
    for name, value in limits.items():
        if name not in known:
            yield (*path, name), f"there is no such limit on this system; {suggest(name, known, limit=20)}"
            continue
        pair = value if isinstance(value, list) else [value]
        numbers = [limit for limit in pair if isinstance(limit, int)]
        if wrong := [number for number in numbers if not 0 <= number <= MOST]:
            yield (*path, name), f'found {wrong[0]}; allowed: 0 to {MOST}, or "unlimited"'
            continue
        soft, hard = (MOST + 1 if limit == "unlimited" else int(limit) for limit in (pair[0], pair[-1]))
        if soft > hard:
            yield (*path, name), f"found {pair}; allowed: [soft, hard], the soft limit at most the hard one"


def limit_names() -> frozenset[str]:
    """Names of resource limits: `nofile` and so on; none where there is no such thing."""
    try:
        import resource
    except ImportError:
        return frozenset()
    return frozenset(name[7:].lower() for name in dir(resource) if name.startswith("RLIMIT_"))


def _store(store: str) -> Iterator[Fault]:
    scheme, separator, rest = store.partition("://")
    if scheme == "sqlite" and separator and rest.strip("/") == "":
        yield ("lease", "store"), f'found "{store}" without a path; allowed: sqlite, or sqlite:///PATH'
    elif scheme == "sqlite" and separator and not rest.startswith("/"):
        yield ("lease", "store"), f'found "{store}"; allowed: sqlite:///PATH, with three slashes'
    elif scheme == "etcd" and not re.search(r":\d+(?:$|[/,?])", rest.rpartition("@")[2]):
        yield (
            ("lease", "store"),
            f'found "{store}" without a port; allowed: etcd://HOST:PORT, such as etcd://127.0.0.1:2379',
        )
