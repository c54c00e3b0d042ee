"""Keeps the journal: writes down what the poller sees happen, and what the launcher says happened.

What one look found is written down in the order of its times; the launcher's first where they are equal, since what it did is
the cause of what was seen. So a higher number is a later time, but for what could not be known before: after a look without the
launcher, or at the start of the dashboard, events come that are older than others that are written already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from dashboard.collector.journal import Journal, time_text
from dashboard.collector.poller import Poller
from dashboard.collector.snapshot_changes import NewEvent, between, of_launcher
from luabus.cluster.snapshot import Snapshot

log = logging.getLogger("dashboard.chronicle")


class Recorder:
    """Attach it to a poller; from then on the journal fills by itself."""

    def __init__(self, journal: Journal, poller: Poller) -> None:
        self._journal = journal
        newest = journal.newest("launcher")
        # The launcher counts from 1 each time it starts, and keeps what it said: times tell what the journal has already.
        self._written_until = newest.at if newest else ""
        poller.on_look = self._look

    def _look(self, old: Snapshot, new: Snapshot, events: Iterable[Mapping[str, Any]]) -> None:
        drafts = [*self._told(events), *between(old, new)]
        for at, draft in sorted(((_time(draft, new), draft) for draft in drafts), key=itemgetter(0)):
            self._journal.add(
                draft.kind,
                draft.subject,
                draft.message,
                draft.level,
                draft.by,
                draft.origin,
                at,
                draft.source,
            )

    def _told(self, events: Iterable[Mapping[str, Any]]) -> Iterator[NewEvent]:
        for event in events:
            try:
                draft = of_launcher(event)
            except (TypeError, ValueError) as error:
                log.warning("an event of the launcher is not understood: %s", error)
                continue
            if draft.at is None or time_text(draft.at) > self._written_until:
                yield draft


def _time(draft: NewEvent, seen: Snapshot) -> float:
    return seen.at if draft.at is None else draft.at
