"""The logs of all processes: one writer per process, and followers who are told each line as it comes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from launcher.runtime.log_files import MAX_LINE, Line, LineSplitter, RotatingFile, encode, utc_now
from launcher.runtime.log_reading import LogFilter, merge, tail
from luabus.visible import visible

FOLLOWER_LIMIT: Final = 10_000
"""Lines kept for a follower that is slower than the logs; beyond, its oldest are skipped and counted."""

PARTIAL_DELAY_S: Final = 1.0
"""A line without its newline (a prompt) is shown after so long."""

SET_BACK_S: Final = 1.0
"""A clock that goes back by so much was set; less is the drift that is taken out of it."""

LAST_WORDS: Final = 10
"""Lines of stderr kept per process, for `exit` in listings."""


class Follower:
    """A bounded queue of lines for one reader. `names` are processes; empty means all."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._lines: deque[Line] = deque()
        self._ready = asyncio.Event()
        self._skipped = 0
        self._closed = False

    def wants(self, name: str) -> bool:
        return not self._names or name in self._names

    def put(self, line: Line) -> None:
        """Adds a line; when the queue is full the oldest is skipped."""
        if len(self._lines) >= FOLLOWER_LIMIT:
            self._lines.popleft()
            self._skipped += 1
        self._lines.append(line)
        self._ready.set()

    def close(self) -> None:
        """The reader gets what is queued, then the end."""
        self._closed = True
        self._ready.set()

    async def next(self) -> list[Line]:
        """All that is queued, at least one line; an empty list is the end. Cancelling loses nothing."""
        while not self._lines and not self._closed:
            self._ready.clear()
            await self._ready.wait()
        lines = list(self._lines)
        self._lines.clear()
        if self._skipped:
            notice = f"{self._skipped} lines were skipped: they came faster than they could be shown"
            lines.insert(0, Line(lines[0].time, "launcher", "sys", notice))
            self._skipped = 0
        return lines


class ProcessLog:
    """Output of one process: split, written, handed to followers. Needs a running loop only for partial lines."""

    def __init__(self, name: str, file: RotatingFile, followers: set[Follower]) -> None:
        self.name = name
        self.file = file
        self.last_words: deque[str] = deque(maxlen=LAST_WORDS)
        self.on_part: Callable[[bytes], None] | None = None
        """Called with what is shown of a line before its newline came: a prompt."""
        self._shown = {"out": b"", "err": b""}
        self._followers = followers
        self._splitters = {"out": LineSplitter(), "err": LineSplitter()}
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, stream: str, chunk: bytes) -> list[bytes]:
        """Takes a chunk of `out` or `err`; returns the lines that became whole, with what was shown of them already."""
        splitter = self._splitters[stream]
        lines = splitter.feed(chunk)
        self._store(stream, lines)
        if splitter.partial and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PARTIAL_DELAY_S, self.flush)
        whole = [text for text, _ in lines]
        if whole:
            whole[0], self._shown[stream] = self._shown[stream] + whole[0], b""
        return whole

    def say(self, text: str) -> None:
        """A line of the launcher's own about this process."""
        for part in text.split("\n"):
            self._store("sys", [(visible(part).encode("utf-8", "replace"), False)])

    def flush(self) -> None:
        """Writes what is held without its newline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for stream, splitter in self._splitters.items():
            parts = splitter.flush()
            self._store(stream, parts)
            for text, _ in parts:
                self._shown[stream] = (self._shown[stream] + text)[-MAX_LINE:]
                if self.on_part is not None:
                    self.on_part(self._shown[stream])

    def new_run(self) -> None:
        """A new process writes from here on: nothing continues."""
        self.on_part = None
        self.flush()
        self._splitters = {"out": LineSplitter(), "err": LineSplitter()}
        self._shown = {"out": b"", "err": b""}
        self.last_words.clear()

    def close(self) -> None:
        """Flushes and closes the file."""
        self.flush()
        self.file.close()

    def _store(self, stream: str, lines: list[tuple[bytes, bool]]) -> None:
        if not lines:
            return
        now = utc_now()
        self.file.write(b"".join([encode(now, stream, text, cut) for text, cut in lines]), len(lines))
        readers = [follower for follower in self._followers if follower.wants(self.name)]
        if stream == "err":
            for text, _ in lines[-LAST_WORDS:]:
                self.last_words.append(text[:500].decode("utf-8", "backslashreplace"))
        for text, cut in lines if readers else ():
            line = Line(now, self.name, stream, text.decode("utf-8", "backslashreplace"), cut)
            for reader in readers:
                reader.put(line)


class LogStore:
    """All logs of a cluster, in one folder."""

    def __init__(self, folder: Path, max_size: int, keep: int) -> None:
        self.folder = folder
        self._max_size = max_size
        self._keep = keep
        self.since = utc_now()
        """When it was made: what is older is of an earlier run."""
        self._logs: dict[str, ProcessLog] = {}
        self._followers: set[Follower] = set()
        self._clock_ahead = time.time() - time.monotonic()

    def of(self, name: str) -> ProcessLog:
        """The log of one process, made on first use."""
        log = self._logs.get(name)
        if log is None:
            file = RotatingFile(log_path(self.folder, name), self._max_size, self._keep)
            log = self._logs[name] = ProcessLog(name, file, self._followers)
        return log

    def tail(self, names: Collection[str], lines: int, since: str = "") -> list[Line]:
        """The last `lines` lines of these processes together, by time; none from before `since`."""
        return read_tail(self.folder, names, lines, LogFilter(since))

    def follow(self, names: Collection[str]) -> Follower:
        """From now on every line of these (empty: all) goes to the returned follower; see `unfollow`."""
        follower = Follower(names)
        self._followers.add(follower)
        return follower

    @property
    def followers(self) -> int:
        """How many there are."""
        return len(self._followers)

    def unfollow(self, follower: Follower) -> None:
        """Ends it; its reader gets what is queued, then the end."""
        self._followers.discard(follower)
        follower.close()

    def reopen(self) -> None:
        """Makes files anew that were moved away or removed: a log that is there is empty, not unknown."""
        for log in self._logs.values():
            log.file.reopen()

    def mark_clock(self) -> None:
        """Says in each log that the clock was set back, if it was since this was asked last: who reads them finds their order by
        it."""
        ahead = time.time() - time.monotonic()
        back = self._clock_ahead - ahead
        self._clock_ahead = ahead
        if back >= SET_BACK_S:
            self.since = min(self.since, utc_now())
            for log in self._logs.values():
                log.say(f"the clock was set back by {back:.0f} s")

    def close(self) -> None:
        """Ends all followers and closes all files."""
        for log in self._logs.values():
            log.close()  # this may write a last line, which followers get
        for follower in list(self._followers):
            self.unfollow(follower)


def log_path(folder: Path, name: str) -> Path:
    """Where the output of a process is kept."""
    return folder / f"{name}.log"


def log_names(folder: Path) -> list[str]:
    """Processes with a log in this folder."""
    return sorted(path.name.removesuffix(".log") for path in folder.glob("*.log"))


def read_tail(
    folder: Path, names: Collection[str], lines: int | None, wanted: LogFilter | None = None
) -> list[Line]:
    """As `LogStore.tail`, without a launcher: the last `lines` (None: all) that are `wanted`."""
    return merge((tail(log_path(folder, name), name, lines, wanted) for name in names), lines)
