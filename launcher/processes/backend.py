"""What starts and ends processes, behind one interface: the supervisor knows neither pids nor process tables.

`local.py` is the backend of this machine. All calls are made, and all listeners called, on the event loop's thread.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from launcher.processes.exit_status import ExitStatus
from launcher.processes.usage import Usage
from launcher.runtime.run_dir import RunDir


class SpawnError(Exception):
    """It could not be started; the message says why, for people. `passing`: the machine had none left of something, or the
    program was just being written, so that the same may work in a moment."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


_NONE_LEFT: Final = ("EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "ENOBUFS")
_BUSY: Final = ("ETXTBSY", "EBUSY", "EINTR", "EIO", "ESTALE")
_PASSING: Final = frozenset(getattr(errno, name) for name in (*_NONE_LEFT, *_BUSY) if hasattr(errno, name))


def passes(error: BaseException) -> bool:
    """Whether what the system refused so it may grant in a moment: `SpawnError.passing`."""
    if isinstance(error, SpawnError):
        return error.passing
    if isinstance(error, OSError):
        return error.errno in _PASSING
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "new thread" in str(error))


@dataclass(frozen=True)
class SpawnRequest:
    """What to start. `env` is complete: nothing is inherited beside it, and the backend adds only what marks its owner, and for
    each variable of `opened` the path by which the process reads that file, which is opened for it before it becomes `user`."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str | None = None
    nice: int | None = None
    umask: int | None = None
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """`resource.RLIM_INFINITY`, -1, stands for none."""
    owner: str = ""
    """`<run>/<name>`: on whose behalf it runs. By this its descendants are found again, also by a later launcher."""
    helper: bool = False
    """It runs beside a process (a probe), as `<run>/<name>/<number>`: what it leaves behind is ended at once."""
    opened: Mapping[str, str] = field(default_factory=dict)
    merge_streams: bool = False
    """stderr goes into the pipe of stdout: all of it is `out`."""


@dataclass(frozen=True)
class ProcessIdentity:
    """What people call a process by, and what tells its pid's present owner from an earlier one (in the system's own unit)."""

    pid: int
    started: float | None


class Listener(Protocol):
    """Who is told about one process: `exited` once, after the last output that was there, and `gone` if that is later."""

    def output(self, stream: str, chunk: bytes) -> None:
        """A chunk of `out` or `err`."""

    def exited(self, status: ExitStatus, left_behind: Sequence[int]) -> None:
        """The process ended; `left_behind` (pids) of its tree live on. If there are none, nothing of it lives any more."""

    def gone(self) -> None:
        """Nothing of what it left behind lives any more."""


class Handle(Protocol):
    """A started process and its tree."""

    @property
    def identity(self) -> ProcessIdentity: ...

    def signal(self, number: int) -> None:
        """Sends a signal to the process alone. Raises ProcessLookupError when it has ended, or PermissionError."""

    def terminate(self, number: int, *, group: bool = True) -> None:
        """Asks to end, by the signal `number`: the process and, with `group`, its group; when it has ended, all that it left
        behind."""

    def kill_all(self) -> None:
        """Ends the process and its tree for certain; also what joins the tree until it is gone."""

    def usage(self) -> Usage:
        """Of the process and all that descends from it; all zero when it has ended."""

    def close(self) -> None:
        """Hears of it no more; it is not ended by this. (What a helper leaves behind is, all the same.)"""


class Backend(Protocol):
    """Starts processes, and finds those that outlived whoever started them."""

    def leftovers(self, run_dir: RunDir) -> int:
        """Ends what the launcher recorded in run_dir left behind when it died, and returns how many. Blocks until none is left;
        needs no event loop."""

    def open(self) -> None:
        """Binds it to the running event loop, before anything is spawned."""

    def spawn(self, request: SpawnRequest, listener: Listener) -> Handle:
        """Raises `SpawnError`, and nothing else; nothing of it lives then."""

    async def end_strays(self, within_s: float) -> Sequence[int]:
        """Ends the processes of which nothing tells whose they are; those (pids) that remain after `within_s` seconds."""

    async def end_marked(self, owner: str, within_s: float) -> Sequence[int]:
        """Ends whatever carries this owner (`SpawnRequest.owner`), wherever it was started; those that remain, as above."""

    def close(self) -> None:
        """Hears of nothing any more. The processes are not ended by this."""
