"""Locks. The one that only one launcher of a run_dir holds is on the file `lock`, whose text is its pid, and on the folder.

The file can be removed under a launcher that runs, by hand or by a script that clears the folder, and the next one would lock a
new one. A folder cannot be removed from within. (Where a folder cannot be locked, as on some network disks, the file alone
counts.)
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import Final

from luabus.private_files import open_private

LOCK_NAME: Final = "lock"

_FOLDER: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class Held(Exception):
    """Somebody else holds it; `pid` is his, as far as the file tells."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"the launcher with pid {pid or 'unknown'} holds the lock")
        self.pid = pid


class Lock:
    """A held lock; it is released with the process at the latest."""

    def __init__(self, folder: Path) -> None:
        """Raises `Held`, or OSError when it cannot be written."""
        self._path = folder
        self._file = self._folder = -1
        try:
            self.renew()
        except BaseException:
            self.release()
            raise

    def renew(self) -> bool:
        """Takes the lock of what is there now, should the file or the folder have been removed or replaced.

        False when all is as it was. Raises as making the lock does; what is held stays so.
        """
        file_is_new = not _is(self._file, self._path / LOCK_NAME)
        if file_is_new:
            file = open_private(self._path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
            self._file = _locked(file, self._file, file)
        if not _is(self._folder, self._path) and (folder := _open_folder(self._path)) is not None:
            self._folder = _locked(folder, self._folder, self._file)
        if not file_is_new and os.fstat(self._file).st_size:
            return False
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, f"{os.getpid()}\n".encode())
        return True

    def release(self) -> None:
        """Lets the next launcher in."""
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1


class FileLock:
    """A held lock on one file. Raises `Held` when made while somebody holds it, or OSError."""

    def __init__(self, file: Path) -> None:
        descriptor = open_private(file, os.O_RDWR | os.O_CREAT)
        self._file = _locked(descriptor, -1, descriptor)

    def release(self) -> None:
        """Lets the next one in."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def holder(folder: Path) -> Held | None:
    """Who holds the lock of this folder; None when nobody does. Writes nothing."""
    pid: int | None = None
    held = False
    with contextlib.suppress(OSError, UnicodeEncodeError):
        file = os.open(folder / LOCK_NAME, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            pid = _pid_in(file)
            held = not _try_lock(file)
        finally:
            os.close(file)
    if not held and (descriptor := _open_folder(folder)) is not None:
        try:
            held = not _try_lock(descriptor)
        finally:
            os.close(descriptor)
    return Held(pid) if held else None


def _pid_in(file: int) -> int | None:
    os.lseek(file, 0, os.SEEK_SET)
    text = os.read(file, 32).strip()
    return int(text) if text.isdigit() else None


def _is(descriptor: int, path: Path) -> bool:
    try:
        return descriptor >= 0 and os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _locked(descriptor: int, before: int, file: int) -> int:
    """The descriptor, locked now, in the place of the one before. Raises `Held`, with the pid in `file`."""
    if not _try_lock(descriptor):
        held = Held(_pid_in(file))
        os.close(descriptor)
        raise held
    if before >= 0:
        os.close(before)
    return descriptor


if sys.platform == "win32":
    import msvcrt

    def _open_folder(folder: Path) -> int | None:
        return None

    def _try_lock(descriptor: int) -> bool:
        # Beyond the pid's text, so that others can read that while it is locked.
        os.lseek(descriptor, 1024, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _open_folder(folder: Path) -> int | None:
        try:
            return os.open(folder, os.O_RDONLY | _FOLDER)
        except (OSError, UnicodeEncodeError):
            return None

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a disk that has no locks for this
            return stat.S_ISDIR(os.fstat(descriptor).st_mode)
        return True
