"""How the processes of a cluster are started: what each is given of the launcher's own environment, and in whose name it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.plan.spec import Kind, ProcessSpec
from launcher.processes.backend import SpawnRequest
from launcher.processes.users import login_variables
from launcher.runtime.isolation import isolated

OWN_VARIABLES: Final = frozenset(
    f"LUABUS_{name}" for name in ("SERVICE", "GROUP", "INSTANCE", "SLOTS", "ROUTE", "SUPERVISED")
)
"""Not inherited: should the launcher itself run in a service of another cluster, its children are not that service."""


class SpawnRequests:
    """For the launcher with this run id. `environ` is what it was given itself, `base` the folder of its cluster.toml."""

    def __init__(self, run_id: str, base: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._run_id = run_id
        self._base = str(base)
        self._inherited = {key: value for key, value in environ.items() if key not in OWN_VARIABLES}

    def of(self, spec: ProcessSpec) -> SpawnRequest:
        """The launcher's own environment, then the user's, then what the spec says."""
        environment = {
            **self._inherited,
            **(login_variables(spec.user) if spec.user is not None else {}),
            **spec.env,
        }
        if spec.kind in (Kind.ROUTER, Kind.DASHBOARD):
            environment = isolated(environment, self._base)
        owner = f"{self._run_id}/{spec.name}"
        return SpawnRequest(spec.argv, environment, spec.cwd, spec.user, spec.nice, spec.rlimits, owner)
