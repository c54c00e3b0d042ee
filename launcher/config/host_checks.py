"""What cluster.toml asks of this machine: users and folders that must be there. Asked by `check`, `up` and `reload`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from launcher.config.schema import ClusterConfig
from launcher.processes.users import UserError, identity

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
        if service.user is not None and os.name == "posix":
            try:
                identity(service.user)
            except UserError as error:
                yield ("services", name, "user"), f'found "{service.user}": {error}'
