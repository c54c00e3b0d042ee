"""What cluster.toml asks of this machine: users and folders that must be there. Asked by `check`, `up` and `reload`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import luabus
from launcher.config.schema import ClusterConfig, Service
from launcher.processes.users import UserError, denied, identity

Fault = tuple[tuple[str | int, ...], str]


def host_faults(config: ClusterConfig, base: Path) -> Iterator[Fault]:
    """Every fault as `(key path, text)`; relative paths start at `base`."""
    run_dir = base / Path(config.cluster.run_dir).expanduser()
    if run_dir.exists() and not run_dir.is_dir():
        yield ("cluster", "run_dir"), f'found "{config.cluster.run_dir}", which is a file; allowed: a folder'
    for key, given in (("tls_cert", config.dashboard.tls_cert), ("tls_key", config.dashboard.tls_key)):
        if given is not None and not (file := base / Path(given).expanduser()).is_file():
            what = "which is no file" if file.exists() else "which does not exist"
            yield ("dashboard", key), f'found "{given}", {what} ({file}); allowed: a PEM file that is there'
    for name, service in config.services.items():
        if service.cwd is not None and not (folder := base / service.cwd).is_dir():
            what = "which is no folder" if folder.exists() else "which does not exist"
            yield ("services", name, "cwd"), f'found "{service.cwd}", {what}; allowed: a folder that is there'
        if service.user is not None and os.name == "posix" and (fault := _user_fault(config, service, base)):
            yield ("services", name, "user"), f'found "{service.user}": {fault}'


def _user_fault(config: ClusterConfig, service: Service, base: Path) -> str | None:
    """Why the service cannot be run as its user."""
    try:
        who = identity(str(service.user))
    except UserError as error:
        return str(error)
    if who is None:
        return None
    wanted = []  # its folder is entered before it becomes that user: a command may do without
    if service.run is not None:
        wanted += [(str(base.absolute()), os.X_OK), (sys.executable, os.X_OK), (luabus.__file__, os.R_OK)]
    elif service.command and os.path.isabs(service.command[0]):
        wanted.append((service.command[0], os.X_OK))
    if service.group is not None and service.route == "master" and config.lease.store.startswith("sqlite"):
        wanted.append(_lease_folder(config, base))
    try:
        lacking = denied(who, [(path, mode) for path, mode in wanted if os.path.exists(path)])
    except OSError:
        return None  # nobody can be asked now; it will be seen when it is started
    return f"it may not use {lacking[0]}; allowed: a user that gets there" if lacking else None


def _lease_folder(config: ClusterConfig, base: Path) -> tuple[str, int]:
    """What must be reached where a lease lies, and how."""
    path = config.lease.store.removeprefix("sqlite").removeprefix(":///")
    if path:
        return str((base / path).absolute().parent), os.W_OK | os.X_OK
    return str((base / Path(config.cluster.run_dir).expanduser()).absolute().parent), os.X_OK
