"""What a service is given, in code or by the launcher's environment; what is given in code wins, except for who it is: that is as
cluster.toml says, so that one module may be the service of two tables, and all call it by the names of those."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luabus import option_checks
from luabus.client.membership import Identity
from luabus.environment import Environment
from luabus.errors import ConfigError
from luabus.ids import ServiceId
from luabus.protocol.stream_options import StreamOptions
from luabus.secret import check_secret
from luabus.transport.security import Security

if TYPE_CHECKING:
    from luabus.lease.lease_options import LeaseOptions  # stores are imported by those who stand for election


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is given in code; None and "" leave it to the environment. `Service` says what each means. Raises `ConfigError` for a
    secret of fewer than 16 bytes."""

    name: str = ""
    group: int | None = None
    instance: int | None = None
    routers: Sequence[str] | None = None
    secret: bytes | str | None = None
    secret_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    mode: str = ""
    groups: Mapping[str, int] | None = None
    lease: str = ""
    lease_ttl: float | None = None
    lease_renew: float | None = None
    frame_limit: int | None = None
    compress_above: int | None = None

    def __post_init__(self) -> None:
        """Raises `ConfigError` for what no service can be given."""
        option_checks.check_name("name", self.name, empty=True)
        option_checks.check_mode(self.mode)
        option_checks.check(
            lease_ttl=self.lease_ttl, lease_renew=self.lease_renew, frame_limit=self.frame_limit,
            compress_above=self.compress_above, group=self.group, instance=self.instance,
        )  # fmt: skip
        option_checks.check_groups(self.groups)
        option_checks.check_paths(secret_file=self.secret_file, key_file=self.key_file)
        option_checks.check_type("lease", self.lease, str, what="a store's URL")
        if self.secret is not None:
            check_secret(self.secret)

    def known_groups(self, environment: Environment) -> dict[str, int]:
        """Groups by name."""
        return {**environment.groups, **(self.groups or {})}

    def addresses(self, environment: Environment) -> Sequence[str]:
        """The routers'."""
        return environment.routers if self.routers is None else self.routers

    def security(self, environment: Environment) -> Security:
        """What streams to routers prove. Raises `ConfigError`."""
        return Security.given(environment, self.secret, self.secret_file, self.key_file)

    def stream_options(self, environment: Environment) -> StreamOptions:
        """How streams to routers are set up."""
        return StreamOptions.of_bus(
            environment.frame_limit if self.frame_limit is None else self.frame_limit,
            compress_above=environment.compress_above if self.compress_above is None else self.compress_above,
        )

    def identity(self, environment: Environment) -> Identity:
        """Who this process is. Raises `ConfigError` for a service without a group."""
        if self._is_launched(environment):
            self._check_place(environment)
            return Identity(
                ServiceId.of(environment.group or 0, environment.instance or 1),
                environment.service,
                time.time_ns(),
                self.mode or environment.route,
                environment.debugged,
            )
        name = self.name or environment.service
        group = self.group if self.group is not None else environment.group
        if group is None:
            group = self.known_groups(environment).get(name)
        if not name or group is None:
            raise ConfigError(
                f"the service {name!r} has no group: give group=..., or start it with luabus-cluster",
                key="group",
            )
        instance = self.instance if self.instance is not None else environment.instance or 1
        mode = self.mode or environment.route
        return Identity(
            ServiceId.of(group, instance), name, time.time_ns(), mode, environment.debugged,
            follows=mode in ("hash", ""),
        )  # fmt: skip

    def _is_launched(self, environment: Environment) -> bool:
        """Whether it is the service that the launcher started this process for: then cluster.toml says who it is. One that is
        given routers or a key of its own is another one."""
        own = (self.routers, self.secret, self.secret_file, self.key_file)
        return bool(environment.service) and environment.group is not None and own == (None, None, None, None)

    def _check_place(self, environment: Environment) -> None:
        """Raises `ConfigError` where code and cluster.toml give two numbers: it would take the place of another."""
        for key, given, table in (
            ("group", self.group, environment.group),
            ("instance", self.instance, environment.instance),
        ):
            if given is not None and table is not None and given != table:
                raise ConfigError(
                    f"the service {self.name or environment.service!r} has {key}={given} in its code, and {key} {table} in "
                    f"cluster.toml (services.{environment.service}); leave it out of the code",
                    key=key,
                )

    def lease_options(self, environment: Environment) -> LeaseOptions:
        """How the group's lease is kept. Raises `ConfigError` without a store."""
        from luabus.lease.lease_options import LeaseOptions
        from luabus.lease.stores.base import DEFAULT_NAMESPACE

        store = self.lease or environment.lease
        if not store:
            name = self.name or environment.service
            raise ConfigError(f"{name} elects a master, but no lease store is given (lease=...)", key="lease")
        return LeaseOptions(
            store,
            environment.lease_ttl_s if self.lease_ttl is None else self.lease_ttl,
            environment.lease_renew_s if self.lease_renew is None else self.lease_renew,
            environment.cluster or DEFAULT_NAMESPACE,
        )
