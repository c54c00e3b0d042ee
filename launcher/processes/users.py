"""Running a process as another user: who that is, and what a login would tell it."""

from __future__ import annotations

import os
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
    """None when it is the launcher's own user, whose rights are there already. Raises `UserError`."""
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UserError(f"there is no user {user!r} on this machine") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise UserError(f"only root may run it as user {user!r}")
    return Identity(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(user, entry.pw_gid)))


def login_variables(user: str) -> dict[str, str]:
    """HOME, USER and LOGNAME, without which programs look for their files in the launcher's home; {} for an unknown user."""
    try:
        import pwd

        entry = pwd.getpwnam(user)
    except (ImportError, KeyError):
        return {}
    return {"HOME": entry.pw_dir, "USER": user, "LOGNAME": user}
