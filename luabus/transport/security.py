"""What the two ends of a stream prove to each other: one value, handed through from where it is configured."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from luabus.environment import Environment, read_secret
from luabus.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Security:
    """`secret`: both ends prove that they have it; None = no authentication. Raises `ConfigError` for an empty one."""

    secret: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.secret is not None and not self.secret:
            raise ConfigError(
                "the secret is empty; give at least 16 bytes, or None for no authentication", key="secret"
            )

    @classmethod
    def of(cls, secret: bytes | str | None) -> Security:
        """With this secret, a text as UTF-8."""
        return cls(secret.encode() if isinstance(secret, str) else secret)

    @classmethod
    def given(
        cls,
        environment: Environment,
        secret: bytes | str | None = None,
        secret_file: str | os.PathLike[str] | None = None,
    ) -> Security:
        """The secret itself, or in a file; where neither is given, the environment's file. Raises `ConfigError`."""
        path = secret_file or environment.secret_file
        if secret is None and path:
            secret = read_secret(str(path))
        return cls.of(secret)


NO_SECURITY: Final = Security()
"""Whoever connects is believed."""
