"""Files that are nobody else's: a folder and what lies in it are believed only when they belong to this user.

A folder that another user made, or a file or link that he put into one of ours, would let him choose our secrets and read what we
write, or have us overwrite files of our own. So nothing is opened through a link, and what is there already must be ours.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Final

IGNORE: Final = "*\n"
"""`.gitignore` of a private folder: secrets and logs belong into no repository."""

_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class NotOurs(PermissionError):
    """What is there belongs to somebody else, or is a link or no file; `strerror` says which, `filename` where."""

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        super().__init__(errno.EPERM, why, os.fspath(path))


def open_private(path: str | os.PathLike[str], flags: int, owners: Collection[int] = ()) -> int:
    """As `os.open`, mode 0600, of a file that is this user's own (or one of `owners`', uids) and was reached by no link.

    With `os.O_TRUNC` it is emptied after that is known. Raises OSError, such as `NotOurs`.
    """
    try:
        descriptor = os.open(path, (flags & ~os.O_TRUNC) | _NO_LINKS, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO) and os.path.lexists(path):
            raise NotOurs(path, "it is a link or no regular file; remove it") from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotOurs(path, "it is no regular file; remove it")
        check_owner(path, found, owners)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_private(path: str | os.PathLike[str], owners: Collection[int] = ()) -> bytes:
    """The whole of a file, opened by `open_private`."""
    with os.fdopen(open_private(path, os.O_RDONLY, owners), "rb") as file:
        return file.read()


def create_private(path: str | os.PathLike[str], data: bytes) -> bool:
    """Makes the file (0600) with all of `data`, or not at all; False where there is one. Raises OSError."""
    path = Path(path)
    if os.path.lexists(path):
        return False
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.new")
    try:
        replace_private(temporary, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def replace_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Puts a new file (0600) in the place of what is there, in one step. Raises OSError."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.new")
    descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def private_folder(path: Path, *, passed_through: bool = False) -> None:
    """Makes the folder (0700), or checks that the one there is ours and closes it to others; with `passed_through` they may pass
    through it (0711). Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_owner(path, path.lstat())  # a link that somebody else made leads where he likes
    check_owner(path, path.stat())
    mode = 0o711 if passed_through else 0o700
    if os.name == "posix" and path.stat().st_mode & 0o077 != mode & 0o077:
        path.chmod(mode)


def keep_out_of_git(folder: Path) -> None:
    """Writes its `.gitignore`, unless there is one. Raises OSError."""
    create_private(folder / ".gitignore", IGNORE.encode())


def check_owner(path: str | os.PathLike[str], found: os.stat_result, owners: Collection[int] = ()) -> None:
    """Raises `NotOurs` when it is another user's."""
    if os.name == "posix" and found.st_uid != os.geteuid() and found.st_uid not in owners:
        raise NotOurs(
            path, f"it belongs to another user (uid {found.st_uid}, this is {os.geteuid()}); remove it"
        )
