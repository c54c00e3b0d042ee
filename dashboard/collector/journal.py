"""Journal: a bounded list of events, kept on disk so that it outlives the dashboard.

The file has JSON lines. At twice the events kept it is rewritten with the newest half, so it stays bounded. Events that cannot
be written, on a full disk, are owed, and written as soon as that is possible.

An event's number is its address, and never given out twice. A small file beside the events has the last one. It is written
before the event is, and in place, which needs no room: whether the dashboard was killed in the middle of a line, or had no room
for it, no other event gets that number.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from dashboard.model.answers import Event
from luabus.cluster.state import Level
from luabus.messages import Message, of_map
from luabus.private_files import open_private, replace_private
from luabus.visible import visible_json

log = logging.getLogger("dashboard.journal")

KEPT: Final = 5000
"""Number of events kept: some weeks of a calm cluster, 1 MB."""


class Entry(Event):
    """An event with its message, for every language; one without has only its text as written. On disk the message is `said`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    message: Annotated[Message | None, BeforeValidator(of_map)] = Field(
        default=None, validation_alias="said", exclude=True
    )

    def to(self, language: str) -> str:
        return (self.message or Message.verbatim(self.text)).to(language)


class Journal:
    """Appends events and finds them again. `path` None keeps them in memory only."""

    def __init__(self, path: Path | None, now: Callable[[], float], kept: int = KEPT) -> None:
        self._path = path
        self._now = now
        self._events: deque[Entry] = deque(maxlen=kept)
        self._kept = kept
        self._lines = 0
        self._mid_line = False
        self._owed: deque[Entry] = deque(maxlen=kept)
        self._in_trouble = False
        self._next = max(self._read(), self._claimed()) + 1
        self._subscribers: list[Callable[[Event], None]] = []

    @property
    def next(self) -> int:
        """The number that the next event gets."""
        return self._next

    def add(
        self,
        kind: str,
        subject: str,
        text: str | Message,
        level: Level = "ok",
        by: str = "",
        origin: str = "",
        at: float | None = None,
        source: Literal["dashboard", "launcher"] = "dashboard",
    ) -> Entry:
        """Append an event. `at` in seconds since the epoch; now when None."""
        written = _sayable(str(text))
        event = Entry(
            seq=self._claim(),
            at=time_text(self._now() if at is None else at),
            kind=_sayable(kind),
            subject=_sayable(subject),
            text=written,
            message=text if isinstance(text, Message) and written == str(text) else None,
            level=level,
            by=_sayable(by),
            origin=_sayable(origin),
            source=source,
        )
        self._events.append(event)
        self._write(event)
        for subscriber in self._subscribers:
            subscriber(event)
        return event

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Call `subscriber` with each event that is added."""
        self._subscribers.append(subscriber)

    def newest(self, source: str) -> Entry | None:
        """The last event from this source."""
        return next((event for event in reversed(self._events) if event.source == source), None)

    def get(self, number: int) -> Entry | None:
        """The event with this number; None when it is not kept."""
        return next((event for event in self._events if event.seq == number), None)

    @property
    def oldest(self) -> int:
        """The lowest number that is kept; that of the event to come when none is."""
        return self._events[0].seq if self._events else self._next

    def find(
        self,
        after: int = 0,
        limit: int = 100,
        q: str = "",
        kind: str = "",
        before: int = 0,
        *,
        language: str = "en",
    ) -> list[Entry]:
        """Events with a number above `after`, and below `before` unless that is 0, oldest first: the first `limit` of them, the
        last when `after` is 0. The words of `q` are looked for in the text as it is in English and in `language`."""
        words = q.casefold().split()
        fitting = [
            event
            for event in self._events
            if event.seq > after and not 0 < before <= event.seq and _fits(event, words, kind, language)
        ]
        return fitting[:limit] if after else fitting[-limit:]

    def kinds(self) -> list[str]:
        """Kinds of events that are kept."""
        return sorted({event.kind for event in self._events})

    def _read(self) -> int:
        """Load the file; returns the highest number that any of its lines was given."""
        if self._path is None or not self._path.exists():
            return 0
        try:
            *lines, rest = self._path.read_bytes().split(b"\n")
        except OSError as error:
            log.warning("%s cannot be read, so the events of before are not shown: %s", self._path, error)
            return 0
        self._mid_line = bool(rest)
        self._lines = len(lines) + self._mid_line
        highest = left_out = 0
        for line in (line for line in (*lines, rest) if line):
            # A line that was cut short by a crash is no reason to lose the others; and it had a number.
            try:
                event = Entry.model_validate_json(line)
            except ValidationError:
                left_out += 1
                highest += 1
                continue
            if event.seq > (self._events[-1].seq if self._events else 0):
                self._events.append(event)
                highest = event.seq
        if left_out:
            log.warning("%d lines of %s are no events and are left out", left_out, self._path)
        return highest

    def _claimed(self) -> int:
        """The last number given out, from the file beside the events; 0 without one."""
        if self._path is None:
            return 0
        try:
            number = _claims(self._path).read_bytes().strip()
        except OSError:
            return 0
        return int(number) if number.isdigit() and len(number) <= _DIGITS else 0

    def _claim(self) -> int:
        number = self._next
        self._next += 1
        if self._path is not None:
            # Where this is not possible, the written events have their numbers as well.
            with suppress(OSError):
                file = open_private(_claims(self._path), os.O_WRONLY | os.O_CREAT)
                try:
                    os.write(file, b"%0*d\n" % (_DIGITS, number))
                finally:
                    os.close(file)
        return number

    def _write(self, event: Entry) -> None:
        if self._path is None:
            return
        self._owed.append(event)
        try:
            if self._lines + len(self._owed) > 2 * self._kept:
                replace_private(self._path, b"".join(_line(event) for event in self._events))
                self._lines = len(self._events)
            else:
                self._append(self._path)
                self._lines += len(self._owed)
        except OSError as error:
            if not self._in_trouble:
                log.error("events are kept in memory only until they can be written again: %s", error)
            self._in_trouble = True
            return
        self._mid_line = False
        self._owed.clear()
        if self._in_trouble:
            self._in_trouble = False
            log.info("events are written to %s again", self._path)

    def _append(self, path: Path) -> None:
        """Append all owed events, or none."""
        size = path.stat().st_size if path.exists() else 0
        try:
            with open(path, "ab", opener=_private) as file:
                file.write(b"\n" * self._mid_line + b"".join(_line(event) for event in self._owed))
        except OSError:
            with suppress(OSError):
                os.truncate(path, size)
            raise


_DIGITS: Final = 18


def _claims(path: Path) -> Path:
    return path.with_suffix(".last")


def _private(path: str, flags: int) -> int:
    """Open for the owner alone: who did what, and what services report, is not for every user of the machine."""
    number = open_private(path, flags)
    if os.name == "posix":
        os.fchmod(number, 0o600)  # one that an earlier version made
    return number


def time_text(at: float) -> str:
    """Seconds since the epoch as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(event: Entry) -> bytes:
    message = {"said": event.message.as_map()} if event.message is not None else {}
    return visible_json(event.model_dump() | message).encode() + b"\n"


def _sayable(text: str) -> str:
    """Half a character, which no encoding can write, becomes its escape."""
    return text.encode(errors="backslashreplace").decode()


def _fits(event: Entry, words: list[str], kind: str, language: str) -> bool:
    if kind and event.kind != kind:
        return False
    shown = event.to(language) if language != "en" else ""
    searched = f"{event.kind} {event.subject} {event.text} {shown} {event.by} {event.origin}".casefold()
    return all(word in searched for word in words)
