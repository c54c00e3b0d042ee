"""Keeps the journal: writes down what the feed sees happen, and what the launcher says happened."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.feed import Feed
from dashboard.journal import Journal, time_text
from dashboard.render.happenings import Draft, between, of_launcher
from dashboard.snapshot import Snapshot

log = logging.getLogger("dashboard.chronicle")


class Chronicle:
    """Attach it to a feed; from then on the journal fills by itself."""

    def __init__(self, journal: Journal, feed: Feed) -> None:
        self._journal = journal
        newest = journal.newest("launcher")
        # The launcher counts from 1 each time it starts, and keeps what it said: times tell what the journal has already.
        self._written_until = newest.at if newest else ""
        feed.observe(self._look)
        feed.on_launcher_events = self._launcher

    def _look(self, old: Snapshot, new: Snapshot) -> None:
        for draft in between(old, new):
            self._write(draft)

    def _launcher(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            try:
                draft = of_launcher(event)
            except (TypeError, ValueError) as error:
                log.warning("an event of the launcher is not understood: %s", error)
                continue
            if draft.at is None or time_text(draft.at) > self._written_until:
                self._write(draft)

    def _write(self, draft: Draft) -> None:
        self._journal.add(
            draft.kind, draft.subject, draft.text, draft.level, draft.by, draft.origin, draft.at, draft.source
        )
