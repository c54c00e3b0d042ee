"""Files with a secret or a key, read anew when they have changed: nobody need be restarted for a new one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

from luabus.errors import ConfigError
from luabus.protocol.keys import Credential, parse_key
from luabus.secret import check_secret, read_secret

NEXT: Final = ".next"
"""Behind the name of a secret's file: what is accepted as well while the secret changes, one to a line."""

_MOST_BYTES: Final = 4096
"""Of a key file."""
_SETTLED_NS: Final = 1_000_000_000
"""A file that was written so shortly before it was read may be written again without its stamp saying so."""

T = TypeVar("T")
Stamp = tuple[int, int, int, int] | None


class WatchedFiles(Generic[T]):
    """What some files hold together. A look costs a `stat` of each.

    Raises `ConfigError` at first for what cannot be read. Later the last good value holds: the log says once what is wrong.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._complained = ""
        self._stamps = self._look()
        self._value = self._load()

    def read(self) -> T:
        """What the files hold now."""
        stamps = self._look()
        while stamps != self._stamps or self._is_fresh(stamps):
            try:
                value = self._load()
            except ConfigError as error:
                if str(error) != self._complained:
                    from luabus.logs import Log  # so that a command that logs nothing begins sooner

                    Log("luabus.security").error("%s; what it held before is used", error)
                self._complained = str(error)
                return self._value
            before, stamps = stamps, self._look()
            if before == stamps:  # else one was replaced while another was read
                self._stamps, self._value, self._complained = stamps, value, ""
                break
        return self._value

    def _load(self) -> T:
        raise NotImplementedError

    def _look(self) -> tuple[Stamp, ...]:
        return tuple(_stamp(path) for path in self._paths)

    @staticmethod
    def _is_fresh(stamps: tuple[Stamp, ...]) -> bool:
        now = time.time_ns()
        return any(stamp is not None and now - stamp[2] < _SETTLED_NS for stamp in stamps)


class Secrets(NamedTuple):
    """What the files of the cluster's secret hold: the secret, and those that are accepted as well while it changes, that which
    it becomes first."""

    current: bytes
    next: tuple[bytes, ...] = ()

    @property
    def accepted(self) -> tuple[bytes, ...]:
        return tuple(dict.fromkeys((self.current, *self.next)))

    @property
    def newest(self) -> bytes:
        return self.next[0] if self.next else self.current


class SecretFile(WatchedFiles[Secrets]):
    """The cluster's secret, and what `secret.next` beside it holds."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._next = Path(f"{self._path}{NEXT}")
        super().__init__(self._path, self._next)

    def _load(self) -> Secrets:
        return Secrets(read_secret(str(self._path)), read_next(self._next))


class KeyFile(WatchedFiles[Credential]):
    """A key and whose it is, in one line: `service:mail 9a0c...`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        super().__init__(self._path)

    def _load(self) -> Credential:
        try:
            line = _read_at_once(self._path).decode()
        except OSError as error:
            raise ConfigError(
                f"the key file {self._path} cannot be read: {error.strerror}", key="key_file"
            ) from None
        except UnicodeDecodeError:
            line = ""
        return parse_key(line, f"what the key file {self._path} holds")


def read_next(path: Path) -> tuple[bytes, ...]:
    """The secrets in a `secret.next`; none where there is no such file. Raises `ConfigError`."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(
            f"the secret file {path} cannot be read: {error.strerror}", key="secret_file"
        ) from None
    secrets = [line.strip() for line in lines if line.strip()]
    return tuple(check_secret(secret, f"a secret in {path}", key="secret_file") for secret in secrets)


def _read_at_once(path: Path) -> bytes:
    """From the beginning, also where the path is an inherited descriptor that others read through, too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return (
            os.pread(descriptor, _MOST_BYTES, 0) if hasattr(os, "pread") else os.read(descriptor, _MOST_BYTES)
        )
    finally:
        os.close(descriptor)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
