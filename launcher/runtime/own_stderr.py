"""The launcher's own stderr, where that is a file in run_dir: behind `up -d` it is logs/launcher.stderr."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from luabus.private_files import open_private

NAME: Final = "launcher.stderr"

STDERR: Final = 2


def open_stderr(log_dir: Path) -> int:
    """A descriptor that appends to the file, for the launcher that is started. Raises OSError."""
    return open_private(log_dir / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class OwnStderr:
    """Follows the file's name. Does nothing where stderr is something else: a terminal, or the user's own file."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._is_there = self._is_named()

    def empty(self) -> None:
        """Removes what earlier launchers wrote: for the one that holds the lock."""
        if self._is_there:
            with contextlib.suppress(OSError):
                os.ftruncate(STDERR, 0)

    def reopen(self) -> None:
        """Opens the file anew, if it was moved away or removed. Never raises."""
        if not self._is_there or self._is_named():
            return
        with contextlib.suppress(OSError):
            descriptor = open_stderr(self._log_dir)
            os.dup2(descriptor, STDERR)
            os.close(descriptor)

    def _is_named(self) -> bool:
        try:
            return os.path.samestat(os.fstat(STDERR), os.lstat(self._log_dir / NAME))
        except OSError:
            return False
