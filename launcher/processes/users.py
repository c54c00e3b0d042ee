"""Running a process as another user: who that is, what a login would tell it, and where it gets to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass


class UserError(Exception):
    """Nothing can be run as this user; the message says why, for people."""


@dataclass(frozen=True)
class Identity:
    """What a process becomes: numbers of the user, its group, and all its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def take_on(self) -> None:
        """In the forked child; there is no way back."""
        os.setgroups(self.groups)
        os.setgid(self.gid)
        os.setuid(self.uid)


def identity(user: str) -> Identity | None:
    """Of `name`, `name:group`, or their numbers. None when it is what the launcher is itself. Raises `UserError`.

    A user has its own group and all that it is a member of; with `:group` that one instead of its own.
    """
    import pwd

    name, separator, group = user.partition(":")
    number = int(name) if name.isascii() and name.isdigit() else None
    try:
        entry = pwd.getpwnam(name) if number is None else pwd.getpwuid(number)
    except (KeyError, OverflowError):
        if number is None:
            raise UserError(f"there is no user {name!r} on this machine") from None
        if not separator:
            raise UserError(
                f'there is no user {name} on this machine, so its group must be said too, as in "{name}:{name}"'
            ) from None
        entry = None
    gid = _group(group) if separator or entry is None else entry.pw_gid
    uid = number if number is not None else entry.pw_uid if entry is not None else -1
    if uid == os.geteuid() and (not separator or gid == os.getegid()):
        return None
    if os.geteuid() != 0:
        raise UserError(f"only root may run it as user {user!r}")
    groups = os.getgrouplist(entry.pw_name, gid) if entry is not None else [gid]
    return Identity(uid, gid, tuple(groups))


def _group(group: str) -> int:
    import grp

    if group.isascii() and group.isdigit() and int(group) < 2**32 - 1:
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UserError(f"there is no group {group!r} on this machine") from None


def login_variables(user: str) -> dict[str, str]:
    """HOME, USER and LOGNAME, without which programs look for their files in the launcher's home; {} for an unknown name."""
    name = user.partition(":")[0]
    try:
        import pwd

        entry = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    except (ImportError, KeyError, OverflowError):
        return {"HOME": "/", "USER": name, "LOGNAME": name} if name.isdigit() else {}
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}


def denied(who: Identity, wanted: Sequence[tuple[str, int]]) -> list[str]:
    """Which of these paths that user may not use so (`os.X_OK`, ...). Asked as that user, which only root can."""
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            answer = b""
            with contextlib.suppress(BaseException):
                who.take_on()
                answer = bytes(os.access(path, mode) for path, mode in wanted)
            os.write(writing, answer or b"-")
            os._exit(0)
        answer = os.read(reading, 1 << 16)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    finally:
        os.close(reading)
        os.close(writing)
    return [path for (path, _), allowed in zip(wanted, answer, strict=False) if allowed == 0]
