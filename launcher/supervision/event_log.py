"""Who did what, and what changed: in memory for readers, in run_dir/events.jsonl for afterwards. Both bounded."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from launcher.runtime.log_files import RotatingFile, utc_now
from launcher.runtime.run_dir import RunDir
from luabus.messages import Message
from luabus.visible import visible_json

KEPT: Final = 2000
"""Events kept in memory."""

FILE_SIZE: Final = 1024 * 1024
"""Bytes of events.jsonl before it is rotated; one old file is kept."""


class EventLog:
    """Events `{"id", "time", "at", "kind", "name", "message", "text", "by", "from"}`, ids rising from 1.

    `time` is UTC text, `at` the same as seconds since the epoch. `kind` is `state`, `process` or `cluster`, or the verb that a
    person used: `stop`, `register`. `message` is `{"code", "values"}`, `text` its English. `by` and `from` say who asked, empty
    for the launcher itself. Listeners are called with each event as it is added.
    """

    def __init__(self, run_dir: RunDir) -> None:
        self._file = RotatingFile(run_dir.events_file, FILE_SIZE, 1, _lost)
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._last = 0
        self._listeners: list[Callable[[dict[str, Any]], None]] = []

    def add(
        self, kind: str, name: str, message: Message, who: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        """Adds an event about the process `name` (empty: the cluster)."""
        self._last += 1
        asked = who or {}
        event = {
            "id": self._last,
            "time": utc_now(),
            "at": time.time(),
            "kind": kind,
            "name": name,
            "message": message.as_map(),
            "text": str(message),
            "by": str(asked.get("by", "")),
            "from": str(asked.get("from", "")),
            **more,
        }
        self._events.append(event)
        self._file.write(visible_json(event).encode() + b"\n", 1)
        for listener in list(self._listeners):
            listener(event)

    def after(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` events with an id above `number`, oldest first."""
        found = [event for event in self._events if event["id"] > number]
        return found[-limit:] if limit > 0 else []

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Calls `listener` with each further event; the returned function ends that."""
        self._listeners.append(listener)

        def stop() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    def reopen(self) -> None:
        """Makes the file anew, if it was moved away or removed."""
        self._file.reopen()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _lost(count: int, why: str) -> bytes:
    """An event in place of those that could not be written."""
    text = f"{count} events before this one are lost: {why}"
    told = {"time": utc_now(), "at": time.time(), "kind": "cluster", "name": "", "text": text}
    return (
        visible_json(
            {"id": 0, **told, "message": Message.verbatim(text).as_map(), "by": "", "from": ""}
        ).encode()
        + b"\n"
    )
