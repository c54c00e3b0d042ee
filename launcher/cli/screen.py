"""Text for a terminal or a pipe that may not take it.

Who supervises must not wait for who reads: Ctrl-S, a pager or a full pipe would stop all restarts. So a thread writes; what
waits is bounded, what is too much is counted and not shown (it is in the log files all the same); and when nobody reads
any more (a closed terminal, `| head`), nothing is written, and the cluster goes on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from launcher.runtime.stdio import harmless

LIMIT: Final = 1 << 20
"""Characters that may wait to be written."""

LAST_WORDS_S: Final = 1.0
"""How long `close` waits for those."""


class Screen:
    """Writes to `descriptor`. `write` never waits and never raises."""

    def __init__(
        self,
        descriptor: int,
        encoding: str = "utf-8",
        limit: int = LIMIT,
        missed: Callable[[int], str] = lambda count: (
            f"({count} lines are not shown here; they are in the logs)"
        ),
    ) -> None:
        """`missed`: the line in place of so many that were too much."""
        self._descriptor = descriptor
        self._encoding = encoding
        self._limit = limit
        self._say_missed = missed
        self._changed = threading.Condition()
        self._pending: list[str] = []
        self._size = 0
        self._missed = 0
        self._closed = False
        self.lost: OSError | None = None
        """Why nothing can be written any more."""
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Whole lines."""
        with self._changed:
            if self._closed:
                return
            if self._size + len(text) > self._limit:
                self._missed += text.count("\n")
                return
            if self._missed and not self._pending:
                self._add(f"{self._say_missed(self._missed)}\n")
                self._missed = 0
            self._add(text)
            self._changed.notify()

    def flush(self) -> None:
        """There is nothing to do: it is written as soon as it can be."""

    def close(self) -> None:
        """Waits a moment for what is not written yet."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(LAST_WORDS_S)

    def _add(self, text: str) -> None:
        self._pending.append(text)
        self._size += len(text)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pending and not self._closed:
                    self._changed.wait()
                text = "".join(self._pending)
                self._pending.clear()
            if not text:
                return
            data = harmless(text).encode(self._encoding, "backslashreplace")
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                with self._changed:
                    self.lost = error
                    self._closed = True
                    self._pending.clear()
                return
            with self._changed:
                self._size -= len(text)
