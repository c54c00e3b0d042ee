"""When a claim that makes no sense is believed after all. Pure.

An epoch that lies a leap (`limits.EPOCH_LEAP`) above or below the one that is known is refused: no router has missed so many
elections, so one of the two numbers is a mistake or a lie. Which, only the group's lease store can tell, and its members read it:
the holder of the lease goes on claiming, each second, for as long as the store says so. So whoever has claimed the same epoch for
`PATIENCE_S`, while the master that is believed has not said a word, is believed instead. A lie is over when the liar is gone.
"""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 3.0
_FORGET_S: Final = 2.5
"""Claims come each second; one that was not repeated for so long is over."""
_MOST: Final = 64
"""Claims watched at once in one group, whatever its members say."""


class Insistence:
    """The claims of one group that were refused because they leap, and since when they are made."""

    __slots__ = ("_claims",)

    def __init__(self) -> None:
        self._claims: dict[tuple[int, int], tuple[float, float]] = {}

    def convinces(self, service_id: int, epoch: int, now: float) -> bool:
        """Note the claim; True when it has been made for long enough."""
        for claim in [claim for claim, (_, last) in self._claims.items() if now - last > _FORGET_S]:
            del self._claims[claim]
        claim = (service_id, epoch)
        if claim not in self._claims and len(self._claims) >= _MOST:
            return False
        since, _ = self._claims.get(claim, (now, now))
        self._claims[claim] = (since, now)
        return now - since >= PATIENCE_S

    def end(self) -> None:
        """Somebody else is known to be right."""
        self._claims.clear()
