"""Sessions that somebody logged out, until they would have ended by themselves: every copy of such a cookie is worth nothing."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Final

from dashboard.http.tokens import Claims
from luabus.private_files import read_private, replace_private

log = logging.getLogger("dashboard.sessions")

MOST: Final = 100_000
"""Names kept; of more, those that would end first are forgotten. Each took a login and a logout."""


class EndedSessions:
    """Names with their absolute ends, kept in a file so that a restart of the dashboard revives none.

    `path` None keeps them in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._ends: dict[str, int] = self._read()

    def __contains__(self, session: Claims) -> bool:
        return session.name in self._ends

    def add(self, session: Claims, now: float) -> None:
        """It has ended, now and for ever."""
        self._ends[session.name] = session.ends_at
        by_end = sorted(self._ends.items(), key=lambda item: item[1])
        self._ends = {name: end for name, end in by_end if end > now}
        for name in list(self._ends)[: max(0, len(self._ends) - MOST)]:
            del self._ends[name]
        if self._path is None:
            return
        try:
            replace_private(self._path, json.dumps(self._ends).encode())
        except OSError as error:
            log.error("who is logged out is known until this dashboard ends: %s", error)

    def _read(self) -> dict[str, int]:
        if self._path is None:
            return {}
        with contextlib.suppress(FileNotFoundError):
            try:
                kept = json.loads(read_private(self._path))
                return {str(name): int(end) for name, end in kept.items()}
            except FileNotFoundError:
                raise
            except (OSError, ValueError, AttributeError, TypeError) as error:
                log.error("%s is no list of ended sessions, and is begun anew: %s", self._path, error)
        return {}
