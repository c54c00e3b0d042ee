"""File descriptors: as many as the system allows, some kept back, and none left is no disaster.

A shell's soft limit is mostly 1,024, for the sake of programs that use `select`. Routers, launcher and dashboard do not; what
they start gets the limit back that they were started with (`inherited`).
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any, Final

from luabus.logs import Log

log = Log("luabus.descriptors")

MOST_RAISED: Final = 1 << 20
"""A hard limit may be none at all, and there are programs that close every descriptor below theirs."""
RESERVE: Final = 64
"""Descriptors that are not for connections: files, pipes, a burst that is accepted before others are closed ..."""
_RESERVED_SHARE: Final = 4
"""... or this part of the limit, where that is less."""
SPARE: Final = 16
_SPARE_SHARE: Final = 6
"""The last so many descriptors, or this part of the limit, start no process and stay open for no file that can be opened again:
somebody must still be able to ask for an end."""
_UNKNOWN_OPEN: Final = 32
"""Open descriptors, where the system does not tell."""
_SHED_AT_ONCE: Final = 64

_inherited: tuple[int, int] | None = None


def raise_limit() -> None:
    """Raise this process' limit to the highest that it may have."""
    global _inherited
    limits = _limits()
    if limits is None:
        return
    import resource

    soft, hard = limits
    wanted = MOST_RAISED if hard == resource.RLIM_INFINITY else min(hard, MOST_RAISED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a limit of its own below the one that it tells
        return
    _inherited = limits


def inherited() -> tuple[int, int] | None:
    """The limit (soft, hard) before it was raised; None when it was not."""
    return _inherited


def is_scarce(descriptor: int) -> bool:
    """Whether this one, as the lowest that was free, is among the last: see SPARE."""
    limits = _limits()
    return limits is not None and limits[0] >= 0 and descriptor >= limits[0] - spare(limits[0])


def are_scarce() -> bool:
    """Whether only the last ones are left."""
    limits = _limits()
    return limits is not None and limits[0] >= 0 and _open_now() >= limits[0] - spare(limits[0])


def spare(limit: int) -> int:
    """How many of so many are kept: see SPARE."""
    return min(SPARE, limit // _SPARE_SHARE)


def most() -> int | None:
    """How many this process may have open at most; None where there is no limit."""
    limits = _limits()
    if limits is None or limits[0] < 0:
        return None
    soft, hard = limits
    return max(soft, min(hard, MOST_RAISED) if hard >= 0 else MOST_RAISED)


def room(most: int) -> int:
    """For how many connections, `most` at most, there are descriptors now, beside those kept back; at least 1."""
    limits = _limits()
    if limits is None or limits[0] < 0:  # on some systems -1 stands for none
        return most
    limit = limits[0]
    return max(1, min(most, limit - _open_now() - min(RESERVE, limit // _RESERVED_SHARE)))


def _limits() -> tuple[int, int] | None:
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)


def _open_now() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))
        except OSError:
            continue
    return _UNKNOWN_OPEN


class ListeningSocket(socket.socket):
    """Its `accept` finds no descriptor left once, not again and again: those who wait are accepted by a spare one, and closed.

    asyncio would log a traceback for each try, and try as often as the backlog is long. (libuv does by itself what this does.)
    `shed`: connections closed so.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.shed = 0
        self._spare: int | None = None

    def listen(self, *backlog: int) -> None:
        super().listen(*backlog)
        self._keep_spare()

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._spare is None:
                raise
        try:
            for _ in range(_SHED_AT_ONCE):
                os.close(self._spare)
                self._spare = None
                accepted, _ = super().accept()
                self.shed += 1
                accepted.close()
                self._keep_spare()
                if self._spare is None:
                    break
        finally:
            self._keep_spare()
        raise BlockingIOError(errno.EAGAIN, "whoever waited was turned away: no file descriptor is left")

    def close(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().close()

    def _keep_spare(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                log.debug("no file descriptor can be kept back")
