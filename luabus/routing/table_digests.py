"""Do the routers agree? Each PONG carries a router's digest per group; a service that sees two routers differ reports it in its
next PING to both; a difference that lasts is an alarm. Pure: `now` is an argument.

Tables differ for a moment at every change, so what counts is the same pair of digests being reported for `PATIENCE_S`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

PATIENCE_S: Final = 3.0
FORGET_S: Final = 2.5
"""What nobody has reported for so long (two heartbeats and a half) is over."""

_MOST: Final = 4096
"""Differences kept at once, whatever peers say: 16 routers times 256 groups."""


def differences(digests: Mapping[str, Mapping[int, int]], me: str) -> dict[str, dict[int, int]]:
    """What to tell router `me`: the other routers' digests for the groups where theirs differ from its own; {} when none do,
    or when its own are not known."""
    if me not in digests:
        return {}
    mine = digests[me]
    differing: dict[str, dict[int, int]] = {}
    for other, theirs in digests.items():
        if other == me:
            continue
        groups = {
            group: theirs.get(group, 0)
            for group in {*mine, *theirs}
            if mine.get(group, 0) != theirs.get(group, 0)
        }
        if groups:
            differing[other] = groups
    return differing


class Disagreements:
    """A router's view of who reported what, and since when."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, int, int], tuple[float, float]] = {}

    def reported(self, seen: Iterable[tuple[str, int, int, int]], now: float) -> None:
        """Somebody saw routers with other digests: (router, group, our digest, its digest) each."""
        self._forget(now)
        for difference in seen:
            if difference[2] != difference[3] and (difference in self._seen or len(self._seen) < _MOST):
                since, _ = self._seen.get(difference, (now, now))
                self._seen[difference] = (since, now)

    def lasting(self, now: float) -> list[dict[str, Any]]:
        """The differences that have lasted, from the first report to the last: `{"router", "group", "for_s"}`."""
        self._forget(now)
        return [
            {"router": other, "group": group, "for_s": round(now - since, 1)}
            for (other, group, _, _), (since, last) in self._seen.items()
            if last - since >= PATIENCE_S
        ]

    def _forget(self, now: float) -> None:
        for key in [key for key, (_, last) in self._seen.items() if now - last > FORGET_S]:
            del self._seen[key]
