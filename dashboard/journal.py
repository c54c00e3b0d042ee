"""What happened: one bounded list of events, kept on disk so that it outlives the dashboard.

A file of JSON lines. When it has grown to twice what is kept it is written anew with the newest half, so it stays bounded.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from dashboard.model import Event, Level

log = logging.getLogger("dashboard.journal")

KEPT: Final = 5000
"""Events kept: some weeks of a calm cluster, 1 MB."""


class Journal:
    """Appends events and finds them again. `path` None keeps them in memory only."""

    def __init__(self, path: Path | None, now: Callable[[], float], kept: int = KEPT) -> None:
        self._path = path
        self._now = now
        self._events: deque[Event] = deque(maxlen=kept)
        self._kept = kept
        self._lines = 0
        self._file_broken = False
        for event in self._read():
            self._events.append(event)
        self._next = self._events[-1].seq + 1 if self._events else 1
        self.on_event: Callable[[Event], None] = lambda event: None

    @property
    def next(self) -> int:
        """The number that the next event gets."""
        return self._next

    def add(
        self,
        kind: str,
        subject: str,
        text: str,
        level: Level = "ok",
        by: str = "",
        origin: str = "",
        at: float | None = None,
        source: Literal["dashboard", "launcher"] = "dashboard",
    ) -> Event:
        """Write one event down. `at` in seconds since the epoch; now when None."""
        event = Event(
            seq=self._next,
            at=time_text(self._now() if at is None else at),
            kind=kind,
            subject=subject,
            text=text,
            level=level,
            by=by,
            origin=origin,
            source=source,
        )
        self._next += 1
        self._events.append(event)
        self._write(event)
        self.on_event(event)
        return event

    def newest(self, source: str) -> Event | None:
        """The last event from there."""
        return next((event for event in reversed(self._events) if event.source == source), None)

    def find(self, after: int = 0, limit: int = 100, q: str = "", kind: str = "") -> list[Event]:
        """Events with a number above `after`, oldest first; the newest `limit` of them when `after` is 0."""
        words = q.casefold().split()
        found = [event for event in self._events if event.seq > after and _fits(event, words, kind)]
        return found[:limit] if after else found[-limit:]

    def kinds(self) -> list[str]:
        """Which kinds of events there are."""
        return sorted({event.kind for event in self._events})

    def _read(self) -> Iterator[Event]:
        if self._path is None or not self._path.exists():
            return
        try:
            lines = self._path.read_text("utf-8", errors="replace").splitlines()
        except OSError as error:
            log.warning("%s cannot be read, so the events of before are not shown: %s", self._path, error)
            return
        self._lines = len(lines)
        for line in lines[-self._kept :]:
            # A line that was cut short by a crash is no reason to lose the others.
            try:
                yield Event.model_validate_json(line)
            except ValidationError:
                log.warning("a line of %s is not an event and is left out", self._path)

    def _write(self, event: Event) -> None:
        if self._path is None or self._file_broken:
            return
        try:
            if self._lines >= 2 * self._kept:
                fresh = self._path.with_suffix(".new")
                with open(fresh, "w", encoding="utf-8", opener=_private) as file:
                    file.writelines(_line(one) for one in self._events)
                fresh.replace(self._path)
                self._lines = len(self._events)
            else:
                with open(self._path, "a", encoding="utf-8", opener=_private) as file:
                    file.write(_line(event))
                self._lines += 1
        except OSError as error:
            self._file_broken = True
            log.error("events are kept in memory only from now on: %s", error)


def _private(path: str, flags: int) -> int:
    """Opens for the owner alone: who did what, and what services say of themselves, is not for every user of the machine."""
    number = os.open(path, flags, 0o600)
    if os.name == "posix":
        os.fchmod(number, 0o600)  # one that an earlier version made
    return number


def time_text(at: float) -> str:
    """Seconds since the epoch as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(event: Event) -> str:
    return json.dumps(event.model_dump(), ensure_ascii=False) + "\n"


def _fits(event: Event, words: list[str], kind: str) -> bool:
    if kind and event.kind != kind:
        return False
    said = f"{event.kind} {event.subject} {event.text} {event.by} {event.origin}".casefold()
    return all(word in said for word in words)
