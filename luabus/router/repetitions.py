"""What goes wrong again and again: an alarm from so many times within a minute on, until a minute has been quiet. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from luabus.messages import Message

WINDOW_S: Final = 60.0
"""Seconds in which it must repeat, and after which a quiet one is over."""
_KEPT: Final = 1000
"""Different messages that are counted; of more, the one that was quiet for longest is forgotten."""


@dataclass(slots=True)
class Repeated:
    """One alarm: `since` when (on the clock of `noted`), and how often in all."""

    message: Message
    kind: str
    since: float
    count: int


@dataclass(slots=True)
class _Run:
    kind: str
    least: int
    times: deque[float] = field(default_factory=deque)
    count: int = 0
    since: float | None = None
    """When it became an alarm."""


class Repetitions:
    """Counts messages by the moments at which they were told."""

    def __init__(self) -> None:
        self._runs: dict[Message, _Run] = {}

    def noted(self, message: Message, kind: str, now: float, *, times: int = 1, least: int = 1) -> bool:
        """It happened `times` times; from `least` within a minute on it is an alarm. True when it has just become one."""
        run = self._runs.pop(message, None)
        if run is None or _is_over(run, now):
            run = _Run(kind, least)
        self._runs[message] = run  # the last: it was quiet for the shortest time
        if len(self._runs) > _KEPT:
            del self._runs[next(iter(self._runs))]
        run.count += times
        run.times.extend([now] * min(times, least))
        while len(run.times) > least:
            run.times.popleft()
        if run.since is None and len(run.times) == least and now - run.times[0] <= WINDOW_S:
            run.since = run.times[0]
            return True
        return False

    def lasting(self, now: float) -> list[Repeated]:
        """The alarms of this moment."""
        self._runs = {message: run for message, run in self._runs.items() if not _is_over(run, now)}
        return [
            Repeated(message, run.kind, run.since, run.count)
            for message, run in self._runs.items()
            if run.since is not None
        ]


def _is_over(run: _Run, now: float) -> bool:
    return now - run.times[-1] > WINDOW_S
