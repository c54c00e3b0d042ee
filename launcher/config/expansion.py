"""`${VAR}` in cluster.toml: in `cluster.env`, and in the `env`, `command` and `cwd` of services.

A value is looked for, as docker compose does, in the launcher's own environment, and then in what the file gives: the service's
`env_file`, `cluster.env`. In `command` and `cwd` the service's own `env` comes before all of them.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.config.envfile import read_env_file
from launcher.config.interpolation import InterpolationError, interpolate
from launcher.config.schema import ClusterConfig, Service

Fault = tuple[tuple[str | int, ...], str]

OWN_VARIABLES: Final = frozenset(
    f"LUABUS_{name}"
    for name in (
        "SERVICE",
        "GROUP",
        "INSTANCE",
        "SLOTS",
        "ROUTE",
        "SUPERVISED",
        "DEBUGGED",
        "SECRET_FILE",
        "KEY_FILE",
    )
)
"""Neither filled in nor inherited: should the launcher itself run in a service of another cluster, its children are not that
service; and what an administrator has in his environment is not theirs."""


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the launcher's environment is for its processes."""
    return {key: value for key, value in environ.items() if key not in OWN_VARIABLES}


def expanded(
    config: ClusterConfig, file: Path, base: Path, environ: Mapping[str, str]
) -> tuple[ClusterConfig, list[Fault]]:
    """The configuration with values filled in, and each fault as `(key path, text)`. Raises `ConfigError` for an env_file that
    cannot be read."""
    faults: list[Fault] = []
    ours = inherited(environ)
    cluster_env = _filled(("cluster", "env"), config.cluster.env, ours, faults)
    services = {}
    for name, service in config.services.items():
        of_file = (
            read_env_file(file, f"services.{name}.env_file", base / service.env_file, ours)
            if service.env_file
            else {}
        )
        outer = ChainMap(ours, of_file, cluster_env)
        services[name] = _service(("services", name), service, outer, faults)
    cluster = config.cluster.model_copy(update={"env": cluster_env})
    return config.model_copy(update={"cluster": cluster, "services": services}), faults


def _service(
    path: tuple[str, ...], service: Service, outer: ChainMap[str, str], faults: list[Fault]
) -> Service:
    env = _filled((*path, "env"), service.env, outer, faults)
    update: dict[str, object] = {"env": env}
    values = ChainMap(env, *outer.maps)
    if service.command is not None:
        update["command"] = [
            _fill((*path, "command", index), word, values, faults, command=True)
            for index, word in enumerate(service.command)
        ]
    if service.cwd is not None:
        update["cwd"] = _fill((*path, "cwd"), service.cwd, values, faults)
    return service.model_copy(update=update)


def _filled(
    path: tuple[str, ...], texts: Mapping[str, str], values: Mapping[str, str], faults: list[Fault]
) -> dict[str, str]:
    return {key: _fill((*path, key), text, values, faults) for key, text in texts.items()}


def _fill(
    path: tuple[str | int, ...],
    text: str,
    values: Mapping[str, str],
    faults: list[Fault],
    *,
    command: bool = False,
) -> str:
    try:
        return interpolate(text, values, command=command)
    except InterpolationError as error:
        faults.append((path, str(error)))
        return text
