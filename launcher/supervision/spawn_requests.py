"""How the processes of a cluster are started: what each is given of the launcher's own environment, and in whose name it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.config.expansion import inherited
from launcher.errors import LauncherError
from launcher.plan.spec import Kind, ProcessSpec
from launcher.processes import service_leases
from launcher.processes.backend import SpawnError, SpawnRequest, passes
from launcher.processes.service_leases import LEASE
from launcher.processes.users import Identity, UserError, identity, login_variables
from launcher.runtime.isolation import isolated
from launcher.runtime.service_keys import ServiceKeys

KEY_FILE: Final = "LUABUS_KEY_FILE"


class SpawnRequests:
    """For the launcher with this run id. `environ` is what it was given itself, `base` the folder of its cluster.toml, `keys`
    makes the files with the services' keys."""

    def __init__(
        self, run_id: str, base: Path, keys: ServiceKeys, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._run_id = run_id
        self._base = str(base)
        self._keys = keys
        self._inherited = inherited(environ)

    def of(self, spec: ProcessSpec) -> SpawnRequest:
        """The launcher's own environment, then the user's, then what the spec says, and the service's key: by path, or opened
        where it runs as a user who does not get into the folder. Raises `SpawnError` when there is no key to be had."""
        environment = {
            **self._inherited,
            **(login_variables(spec.user) if spec.user is not None else {}),
            **spec.env,
        }
        if spec.kind in (Kind.ROUTER, Kind.DASHBOARD):
            environment = isolated(environment, self._base)
        opened = {}
        user = self._user(spec)
        if spec.kind is not Kind.ROUTER:
            environment[KEY_FILE] = self._key_file(spec, user)
            if user is not None:
                opened[KEY_FILE] = environment.pop(KEY_FILE)
        if user is not None and spec.group is not None and spec.elects:
            environment[LEASE] = self._lease(spec, user, environment.get(LEASE, ""))
        owner = f"{self._run_id}/{spec.name}"
        return SpawnRequest(
            spec.argv,
            environment,
            spec.cwd,
            user=spec.user,
            nice=spec.nice,
            umask=spec.umask,
            rlimits=spec.rlimits,
            owner=owner,
            opened=opened,
            merge_streams=spec.merge_streams,
        )

    def _user(self, spec: ProcessSpec) -> Identity | None:
        try:
            return identity(spec.user) if spec.user is not None else None
        except (OSError, UserError) as error:
            raise SpawnError(str(error), passing=passes(error)) from None

    def _key_file(self, spec: ProcessSpec, user: Identity | None) -> str:
        try:
            return str(self._keys.ensure(spec.service, user.uid if user is not None else None))
        except (OSError, LauncherError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SpawnError(
                f"the key of {spec.service} cannot be written: {reason}", passing=passes(error)
            ) from None

    def _lease(self, spec: ProcessSpec, user: Identity, url: str) -> str:
        run_dir = self._keys.run_dir
        if not service_leases.is_within(url, run_dir.path):
            return url
        try:
            return service_leases.prepare(run_dir, spec.service, user)
        except OSError as error:
            raise SpawnError(
                f"the lease of {spec.service} cannot be made: {error.strerror}", passing=passes(error)
            ) from None
