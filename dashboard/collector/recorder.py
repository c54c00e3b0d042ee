"""Recorder: writes the changes between snapshots and the launcher's events into the journal.

Events of one poll are sorted by time, the launcher's first where equal, since its acts cause what is seen. So a higher number is
a later time, except for events that could not be known before: after a poll without the launcher, or at the start of the
dashboard, events come that are older than some already written.
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
    """Observer of a poller that fills the journal."""

    def __init__(self, journal: Journal, poller: Poller) -> None:
        self._journal = journal
        newest = journal.newest("launcher")
        # The launcher counts from 1 each time it starts, and keeps its events: times show which the journal has already.
        self._written_until = newest.at if newest else ""
        poller.observe(self._look)

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
