"""keys/NAME.key: the key of each service, which is all that it gets of the cluster's secret.

A file is written in place, and keeps its length: who holds it open, as a service that runs as another user does, reads the new
key in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from launcher.runtime.run_dir import RunDir

if TYPE_CHECKING:
    from luabus import Security

SUFFIX: Final = ".key"


def key_file(run_dir: Path, service: str) -> Path:
    """Where the key of a service lies."""
    return run_dir / "keys" / f"{service}{SUFFIX}"


class ServiceKeys:
    """The key files of one run_dir. `security` makes the keys; by default it is the cluster's secret in that folder."""

    def __init__(self, run_dir: RunDir, security: Security | None = None) -> None:
        self._folder = run_dir.keys_dir
        self.run_dir = run_dir
        self._security = security
        self._ensured: dict[str, int | None] = {}

    def ensure(self, service: str, uid: int | None = None) -> Path:
        """The key file of a service, holding what it must, and owned by that user or by us. Raises OSError, `RunDirError`."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = key_file(self.run_dir.path, service)
        self._write(path, service, uid if uid is not None else _own_uid())
        self._ensured[service] = uid
        return path

    def restore(self) -> list[str]:
        """Makes those again that `ensure` made and that are gone; their names. Raises as `ensure`."""
        gone = {
            service: uid
            for service, uid in self._ensured.items()
            if not key_file(self.run_dir.path, service).exists()
        }
        return [self.ensure(service, uid).name for service, uid in gone.items()]

    def renew(self) -> int:
        """Each key that there is, anew from the newest secret. Returns how many are others now. Raises as `ensure`."""
        changed = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):
                changed += self._write(path, path.name.removesuffix(SUFFIX), None)
        return changed

    def _write(self, path: Path, service: str, owner: int | None) -> bool:
        """True when it held something else. An `owner` of None leaves the file to whose it is, and makes none."""
        line = self._line(service)
        flags = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | (0 if owner is None else os.O_CREAT)
        descriptor = os.open(path, flags, 0o600)
        try:
            if owner is not None and os.fstat(descriptor).st_uid != owner:
                os.fchown(descriptor, owner, -1)
            if os.read(descriptor, len(line) + 1) == line:
                return False
            os.lseek(descriptor, 0, os.SEEK_SET)
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(descriptor, len(line))
            return True
        finally:
            os.close(descriptor)

    def _line(self, service: str) -> bytes:
        from luabus import Principal

        if self._security is None:
            self._security = self.run_dir.security()
        return f"{self._security.key_line(Principal('service', service))}\n".encode()


def _own_uid() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
