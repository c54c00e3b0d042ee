"""The three standard streams as a verb finds them: open, closed (`>&-`), on a full disk, or a pipe that nobody reads any more.

What is asked for is done in all of these cases, and the exit code tells that the answer was lost. Two things are secured for
that: that no file or socket gets the number of a closed stream, and that a lost stdout is told once, as `OutputLost`, and
swallows what comes after.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from luabus.visible import visible

STREAMS: Final = 3

_OURS: Final = re.compile(r"(\n|\t|\r?\x1b\[K|\x1b\[[0-9;:]*m)")
"""What the launcher itself sends beside letters: line ends, colours, and a line that is written anew."""


class OutputLost(Exception):
    """stdout takes nothing more; no OSError, which others would take for one of their own files.

    `quiet` when whoever read has seen enough (`| head`): that is no failure.
    """

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason.strerror)
        self.quiet = reason.errno == errno.EPIPE


def harmless(text: str) -> str:
    """Text for a terminal without anything that drives it, but for what the launcher sends: see `visible`."""
    if text.isprintable():
        return text
    return "".join(part if index % 2 else visible(part) for index, part in enumerate(_OURS.split(text)))


class HarmlessText(io.TextIOWrapper):
    """A standard stream. Nothing that is written to it, whoever's words it has in it, drives the terminal: see `harmless`."""

    def write(self, text: str) -> int:
        super().write(harmless(text))
        return len(text)


class Stdout(io.RawIOBase):
    """Bytes to a descriptor; the first error is raised and kept in `lost`, what comes after it goes nowhere."""

    def __init__(self, descriptor: int, *, closed: bool = False) -> None:
        self._descriptor = descriptor
        self._shut = closed
        self.lost: OutputLost | None = None

    def write(self, data: Any) -> int:
        """Raises `OutputLost`, once."""
        if self.lost is not None:
            return len(data)
        try:
            if self._shut:
                raise OSError(errno.EBADF, "it is closed")
            return os.write(self._descriptor, data)
        except OSError as error:
            self.lost = OutputLost(error)
            raise self.lost from None

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True


def secure() -> Stdout:
    """Puts the process' standard streams in order; what stands behind `sys.stdout` from now on."""
    stdout_closed = sys.stdout is None
    encoding = "utf-8" if stdout_closed else sys.stdout.encoding
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < STREAMS:
        pass  # a closed stream's number is taken now
    os.close(descriptor)
    stdout = Stdout(1, closed=stdout_closed)
    if not stdout_closed:
        sys.stdout.flush()
    sys.stdout = HarmlessText(
        io.BufferedWriter(stdout), encoding, "backslashreplace", line_buffering=stdout.isatty()
    )
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stderr = HarmlessText(
        sys.stderr.buffer, sys.stderr.encoding, "backslashreplace", line_buffering=True, write_through=True
    )
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    return stdout


def last_word(stdout: Stdout, code: int) -> int:
    """The exit code when all is written, or when it could not be, which is said."""
    with contextlib.suppress(OutputLost):
        sys.stdout.flush()
    if stdout.lost is None or stdout.lost.quiet:
        return code
    say_lost(str(stdout.lost))
    return code or 1


@contextlib.contextmanager
def reader_watched(gone: Callable[[], None]) -> Iterator[None]:
    """Meanwhile calls `gone`, in the running loop, when whoever reads stdout goes away, also while nothing is written (Linux)."""
    try:
        poll = select.epoll()
    except AttributeError:
        yield
        return
    import asyncio  # not for every verb

    loop = asyncio.get_running_loop()
    with poll:
        try:
            poll.register(sys.stdout.fileno(), 0)  # that the other end is closed is reported in any case
        except OSError:  # a file, which has no other end
            yield
            return
        loop.add_reader(poll.fileno(), gone)
        try:
            yield
        finally:
            loop.remove_reader(poll.fileno())


def say_lost(why: str) -> None:
    """One line about it."""
    sys.stderr.write(f"luabus-cluster: what was to be shown is lost, stdout cannot be written: {why}\n")
