"""A process' output: bytes to lines, and lines to a file that is rotated by size. Reading them back is `log_reading.py`'s.

A line in a file:   2026-01-31T12:00:00.123456Z out text as the process wrote it
`out` and `err` are the process' streams, `sys` what the launcher says about it. A line that had to be cut because it
grew over MAX_LINE is continued with `out+` or `err+`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from luabus import descriptors
from luabus.cluster.log_level import level_of
from luabus.private_files import open_private

MAX_LINE: Final = 16 * 1024
"""Bytes; a longer line is cut, so that output without newlines takes no more memory than this."""


@dataclass(frozen=True)
class Line:
    """One line; `time` is UTC text as in the file, `cut` tells that it continues the one before."""

    time: str
    name: str
    stream: str
    text: str
    cut: bool = False

    def as_map(self) -> dict[str, Any]:
        """JSON-able, for the control channel, `--json` and the HTTP API. The launcher's own lines have no level."""
        return {
            "time": self.time,
            "name": self.name,
            "stream": self.stream,
            "level": self.level,
            "line": self.text,
        }

    @classmethod
    def of_map(cls, line: Mapping[str, Any]) -> Line:
        """The inverse of `as_map`."""
        return cls(line["time"], line["name"], line["stream"], line["line"])

    @property
    def level(self) -> str | None:
        """As `level_of`; None for what the launcher says, and for the rest of a line that was cut."""
        return None if self.stream == "sys" or self.cut else level_of(self.text)


class LineSplitter:
    """Bytes in, whole lines out; at most MAX_LINE bytes stay inside."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._partial = b""
        self._continues = False

    @property
    def partial(self) -> bool:
        """True while the beginning of a line is held."""
        return bool(self._partial)

    def feed(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """`(text, cut)` for each line that is whole now, or as long as a line may get."""
        *whole, rest = (self._partial + chunk).split(b"\n")
        lines: list[tuple[bytes, bool]] = []
        for line in whole:
            self._emit(line.removesuffix(b"\r"), lines)
            self._continues = False
        while len(rest) > self._limit:
            lines.append((rest[: self._limit], self._continues))
            rest, self._continues = rest[self._limit :], True
        self._partial = rest
        return lines

    def flush(self) -> list[tuple[bytes, bool]]:
        """What is held, as a line; the rest of it will be a continuation."""
        if not self._partial:
            return []
        line, self._partial = (self._partial, self._continues), b""
        self._continues = True
        return [line]

    def _emit(self, line: bytes, lines: list[tuple[bytes, bool]]) -> None:
        if not line and self._continues:
            return
        for start in range(0, max(len(line), 1), self._limit):
            lines.append((line[start : start + self._limit], self._continues))
            self._continues = True


def lost_lines(count: int, why: str) -> bytes:
    """The line in place of those that could not be written."""
    return encode(utc_now(), "sys", f"{count} lines before this one are lost: {why}".encode())


class RotatingFile:
    """The one writer of one log file. Never raises: what cannot be written is counted.

    A file that somebody moves away or removes (logrotate, rm) is left to him, and a new one begun. NAME.log is renamed NAME.log.1
    when it would exceed `max_size`, that one NAME.log.2, up to `keep`.
    """

    def __init__(
        self,
        path: Path,
        max_size: int,
        keep: int,
        notice: Callable[[int, str], bytes] = lost_lines,
    ) -> None:
        """`notice`: what is written in place of so many lost lines, and why they are."""
        self.path = path
        self.lost_lines = 0
        self.problem = ""
        self._max_size = max_size
        self._keep = keep
        self._notice = notice
        self._descriptor = -1
        self._unreported = 0

    def write(self, data: bytes, lines: int) -> None:
        """Appends `lines` whole lines."""
        if self._unreported:
            data = self._notice(self._unreported, self.problem) + data
        try:
            size = self._open()
            if size and size + len(data) > self._max_size:
                self._rotate()
                size = self._open()
            written = os.write(self._descriptor, data)
            if written < len(data):
                # Half a line would be read as a line: take it back.
                os.ftruncate(self._descriptor, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._unreported = 0
            self.problem = ""
            if descriptors.is_scarce(self._descriptor):
                self.close()
        except OSError as error:
            self.problem = error.strerror or str(error)
            self.lost_lines += lines
            self._unreported += lines

    def reopen(self) -> None:
        """Makes the file anew if it was written before and is gone, so that its readers find it. Says what was lost, if that can
        be written by now: the trouble is over then, whether or not the process ever writes again."""
        if self._unreported:
            self.write(b"", 0)
        elif self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self._open()

    def close(self) -> None:
        """Closes the file; the next write opens it again."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        """Sees to it that the descriptor is that of the file which now has the name; its size, which others may have changed."""
        if self._descriptor >= 0:
            opened = os.fstat(self._descriptor)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(opened, os.lstat(self.path)):
                    return opened.st_size
            if opened.st_nlink and not self.path.parent.exists():
                return opened.st_size  # it was moved with its folder, and is still the log
            self.close()
        self._descriptor = open_private(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self.close()
        if self._keep == 0:
            self.path.unlink(missing_ok=True)
        else:
            for number in range(self._keep - 1, 0, -1):
                older = numbered(self.path, number)
                if older.exists():
                    older.replace(numbered(self.path, number + 1))
            self.path.replace(numbered(self.path, 1))


def numbered(path: Path, number: int) -> Path:
    """`mail.1.log` -> `mail.1.log.3`."""
    return path.with_name(f"{path.name}.{number}")


def utc_now() -> str:
    """Now, as in the files: microseconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(time: str, stream: str, text: bytes, cut: bool = False) -> bytes:
    """One line as it stands in a file."""
    return b"%b %b%b %b\n" % (time.encode(), stream.encode(), b"+" if cut else b"", text)


def decode(line: bytes, name: str) -> Line | None:
    """The inverse of `encode`; None for what is no such line. Bytes that are no UTF-8 become `\\xNN`."""
    time, _, rest = line.rstrip(b"\n").partition(b" ")
    stream, space, text = rest.partition(b" ")
    if not space or stream.rstrip(b"+") not in (b"out", b"err", b"sys"):
        return None
    return Line(
        time.decode("ascii", "replace"),
        name,
        stream.rstrip(b"+").decode(),
        text.decode("utf-8", "backslashreplace"),
        stream.endswith(b"+"),
    )
