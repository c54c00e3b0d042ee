"""What the launcher tells its children: the LUABUS_* variables, read in one place.

`docs/design.md` lists them. Arguments given in code win over the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from luabus.errors import ConfigError
from luabus.quantities import parse_size


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables, typed; defaults are for a process that was started by hand."""

    cluster: str = ""
    run_dir: str = ""
    routers: tuple[str, ...] = ()
    secret_file: str = ""
    key_file: str = ""
    service: str = ""
    group: int | None = None
    instance: int | None = None
    route: str = ""
    groups: Mapping[str, int] = field(default_factory=dict)
    lease: str = ""
    lease_ttl_s: float = 10.0
    lease_renew_s: float = 1.0
    log_level: str = "INFO"
    control: str = ""
    supervised: bool = False
    debugged: bool = False
    frame_limit: int | None = None
    compress_above: int | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Environment:
        """Raises `ConfigError` with the variable's name when one cannot be understood."""

        def number(name: str, kind: type[int] | type[float], default: float | None) -> float | None:
            text = environ.get(name, "")
            if not text:
                return default
            try:
                return kind(text)
            except ValueError:
                raise ConfigError(f"{name}={text!r} is not a number", key=name) from None

        def size(name: str) -> int | None:
            text = environ.get(name, "")
            try:
                return parse_size(text) if text else None
            except ValueError as error:
                raise ConfigError(f"{name}={error}", key=name) from None

        def integer(name: str) -> int | None:
            value = number(name, int, None)
            return None if value is None else int(value)

        try:
            groups = json.loads(environ.get("LUABUS_GROUPS", "") or "{}")
            groups = {str(name): int(group) for name, group in groups.items()}
        except (ValueError, AttributeError, TypeError):
            raise ConfigError(
                f'LUABUS_GROUPS={environ["LUABUS_GROUPS"]!r} is not JSON such as {{"mail": 2}}',
                key="LUABUS_GROUPS",
            ) from None
        return cls(
            cluster=environ.get("LUABUS_CLUSTER", ""),
            run_dir=environ.get("LUABUS_RUN_DIR", ""),
            routers=tuple(
                part.strip() for part in environ.get("LUABUS_ROUTERS", "").split(",") if part.strip()
            ),
            secret_file=environ.get("LUABUS_SECRET_FILE", ""),
            key_file=environ.get("LUABUS_KEY_FILE", ""),
            service=environ.get("LUABUS_SERVICE", ""),
            group=integer("LUABUS_GROUP"),
            instance=integer("LUABUS_INSTANCE"),
            route=environ.get("LUABUS_ROUTE", ""),
            groups=groups,
            lease=environ.get("LUABUS_LEASE", ""),
            lease_ttl_s=float(number("LUABUS_LEASE_TTL", float, 10.0) or 10.0),
            lease_renew_s=float(number("LUABUS_LEASE_RENEW", float, 1.0) or 1.0),
            log_level=environ.get("LUABUS_LOG_LEVEL", "INFO") or "INFO",
            supervised=bool(environ.get("LUABUS_SUPERVISED")),
            debugged=bool(environ.get("LUABUS_DEBUGGED")),
            control=environ.get("LUABUS_CONTROL", ""),
            frame_limit=size("LUABUS_FRAME_LIMIT"),
            compress_above=size("LUABUS_COMPRESS_ABOVE"),
        )
