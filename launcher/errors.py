"""What the launcher refuses, with the exit code each refusal has on the command line.

    LauncherError            1   it was asked rightly and did not come about
    ├── ConfigError          2   the file is missing, unreadable or wrong; `problems` lists every fault found
    ├── UsageError           2   the command line is wrong
    ├── NotRunning           3   there is no launcher for this run_dir
    ├── NoAnswer             1   there is one, but it is stopped or hangs; `pid` is its process
    ├── AlreadyRunning       1   there is one; `pid` is its process
    ├── RunDirError          1   run_dir cannot be made or written
    ├── PortInUse            1   somebody else listens there; the message names the process
    └── StartFailed          1   a process failed for good while the cluster started; `tail` is the end of its log

Over the control channel a refusal travels as `luabus.errors.Refused`; these are for the launcher's own process.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from luabus.messages import Message
from luabus.visible import visible


class LauncherError(Exception):
    """The root; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1
    reported: Message | None = None
    """The same by code and values, where there is a code."""


class Problem(NamedTuple):
    """One fault of a configuration file: where (line, key path) and what."""

    key: str
    text: str
    line: int | None = None

    def render(self, file: str) -> str:
        """`cluster.toml:14: services.mail.group: found 'x'; allowed: ...`."""
        place = file if self.line is None else f"{file}:{self.line}"
        return visible(f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}")


class ConfigError(LauncherError):
    """A configuration that cannot be used. Nothing was started or changed."""

    exit_code = 2

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problem.render(file) for problem in problems))
        self.file = file
        self.problems = tuple(problems)


class UsageError(LauncherError):
    """The command line asks for something that does not exist or does not go together."""

    exit_code = 2

    def __init__(self, text: str, reported: Message | None = None) -> None:
        super().__init__(text)
        self.reported = reported


class NotRunning(LauncherError):
    """No launcher runs for this run_dir."""

    exit_code = 3


class NoAnswer(LauncherError):
    """The launcher lives and does not answer."""

    def __init__(self, pid: int, within_s: float) -> None:
        super().__init__(
            f"the launcher (pid {pid}) does not answer within {within_s:g} s, so it is stopped or hangs; "
            f"`kill -CONT {pid}` continues a stopped one, `kill -KILL {pid}` ends it and all its processes"
        )
        self.pid = pid


class AlreadyRunning(LauncherError):
    """A launcher runs already for this run_dir."""

    def __init__(self, message: str, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class RunDirError(LauncherError):
    """run_dir, or a file in it, cannot be made, read or written."""


class PortInUse(LauncherError):
    """A port that the cluster needs is taken."""


class StartFailed(LauncherError):
    """The cluster did not come up, or not all of it; `tail` is what those that failed said last in this start, as `logs --json`
    prints it."""

    def __init__(self, message: str, tail: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.tail = tuple(tail)


_THE_MACHINES: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
)
"""What a machine can be short of at any place: no fault of the program, so nobody needs to know where it was noticed."""


def describe(error: BaseException) -> str:
    """An error that nobody expected: a sentence when the machine is to blame, its traceback otherwise."""
    if isinstance(error, OSError) and error.errno in _THE_MACHINES:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    import traceback

    return f"this should not happen:\n{''.join(traceback.format_exception(error)).rstrip()}"


def told(error: BaseException) -> str:
    """An error for people. What others wrote makes no line of its own in it; a file's faults, and taken ports, have one each."""
    lines = str(error).split("\n") if isinstance(error, ConfigError | PortInUse) else [str(error)]
    return "\n".join(map(visible, lines))


def suggest(word: str, known: Iterable[str], *, limit: int = 12) -> Message:
    """`did you mean "mail"?`, or what there is to choose from when nothing is close."""
    from difflib import get_close_matches  # only where there is an error: it costs milliseconds

    choices = sorted(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return Message("hint.did-you-mean", name=f'"{close[0]}"')
    if not choices:
        return Message("hint.there-are-none")
    shown = choices[:limit]
    if len(choices) > limit:
        return Message("hint.allowed-and-more", names=shown, more=len(choices) - limit)
    return Message("hint.allowed", names=shown)
