"""A cluster's secret: read from its file, and checked wherever it is given."""

from __future__ import annotations

from pathlib import Path

from luabus.errors import ConfigError
from luabus.limits import MIN_SECRET_BYTES


def read_secret(path: str) -> bytes:
    """The cluster's secret, white space around it left out. Raises `ConfigError`, also for fewer than 16 bytes."""
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"the secret file {path} cannot be read: {error.strerror}", key="secret_file"
        ) from None
    if not secret:
        raise ConfigError(f"the secret file {path} is empty", key="secret_file")
    return check_secret(secret, f"the secret in {path}", key="secret_file")


def check_secret(secret: bytes | str, what: str = "the secret", *, key: str = "secret") -> bytes:
    """The secret as bytes, a text as UTF-8. Raises `ConfigError` for fewer than 16 bytes, without showing it."""
    if not isinstance(secret, str | bytes | bytearray | memoryview):
        raise ConfigError(f"{what} is a text or bytes, not {type(secret).__name__}", key=key)
    data = secret.encode() if isinstance(secret, str) else bytes(secret)
    if len(data) < MIN_SECRET_BYTES:
        size = "is empty" if not data else f"has {len(data)} byte{'s' * (len(data) > 1)}"
        raise ConfigError(
            f"{what} {size}; give at least {MIN_SECRET_BYTES} bytes, or None for no authentication", key=key
        )
    return data
