"""How often somebody asked for the end: Ctrl-C twice is in a hurry, one that arrives twice is not. Pure.

The launcher hears of a signal on two ways: from its guard, which has the terminal and the pid that people see, and directly.
Programs that signal everybody (a service manager its whole group of processes) send one on both ways at once. So what comes on
the other way within PAIR_S is the same one; what comes again on the same way is another one, unless it is so close that nobody
sent it apart: `timeout` signals a process, and then its group with it.
"""

from __future__ import annotations

from typing import Final

PAIR_S: Final = 0.25
"""Between the two ways: the guard may be slow to be given the processor."""

ECHO_S: Final = 0.015
"""On one way, at its beginning: two calls of kill(2), one after the other."""


class TwoWayDebounce:
    """`counts(now, forwarded)` for each signal heard: whether it is one more."""

    def __init__(self) -> None:
        self._unpaired: dict[bool, list[float]] = {True: [], False: []}

    def counts(self, now: float, forwarded: bool) -> bool:
        """`now` in seconds of a clock that only goes on; `forwarded` by the guard."""
        for way in (True, False):
            self._unpaired[way] = [at for at in self._unpaired[way] if now - at < PAIR_S]
        if self._unpaired[not forwarded]:
            self._unpaired[not forwarded].pop(0)
            return False
        self._unpaired[forwarded].append(now)
        return True


class Debounce:
    """`heard(now)` for each signal on one way: False for the echo of the one before."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def heard(self, now: float) -> bool:
        """`now` in seconds of a clock that only goes on."""
        again = now - self._last < ECHO_S
        self._last = now
        return not again
