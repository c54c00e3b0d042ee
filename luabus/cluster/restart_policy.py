"""When a process that ended is started again: pure decisions over the times of its crashes.

A *crash* is an end that was not asked for and is not a success: a non-zero exit code, a signal, an end before it was
ready, not being ready in time, a failed liveness check.

Back-off: `initial`, times `factor` per crash in a row, at most `maximum`, each +-`jitter`; a run that stayed
ready for `healthy_after` seconds starts the row again.

Three limits end it (`failed`): `crash_limit` crashes within `crash_window` seconds sees what crashes at once;
`slow_crash_limit` within `slow_crash_window` sees what lives for a while each time and would never meet the
first, because the back-off and its own life keep its crashes apart; `crash_limit` starts in a row that were not ready in
time, however long that takes, sees what will never be.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from luabus.messages import Message

Policy = Literal["always", "on-failure", "never"]


@dataclass(frozen=True)
class RestartPolicy:
    """All times in seconds; see `docs/cluster-toml.md` for the keys that set them."""

    policy: Policy = "on-failure"
    initial: float = 0.5
    factor: float = 2.0
    maximum: float = 30.0
    jitter: float = 0.2
    healthy_after: float = 60.0
    crash_limit: int = 5
    crash_window: float = 60.0
    slow_crash_limit: int = 20
    slow_crash_window: float = 3600.0


@dataclass(frozen=True)
class Restart:
    """Start it again after `delay` seconds."""

    delay: float
    crashes: int


@dataclass(frozen=True)
class Leave:
    """It may stay ended."""


@dataclass(frozen=True)
class GiveUp:
    """It failed for good; `reason` says which limit was met."""

    reason: Message


Decision = Restart | Leave | GiveUp


class Outcome(Enum):
    """What becomes of a process that has ended."""

    RESTARTS = auto()
    STAYS = auto()
    """ended as it may"""
    FAILS = auto()


def is_crash(*, success: bool, early: bool, replaced: bool = False) -> bool:
    """Whether an end that nobody asked for is a crash. `early`: before it was ready, though it has to show that it is;
    `replaced`: it was ended because it was not healthy or too late."""
    return replaced or early or not success


def outcome_of(policy: Policy, *, crashed: bool, left: int | None = None) -> Outcome:
    """The rule. `left`: after so many more crashes it would be started again (`CrashHistory.left`); None: not known, some."""
    if policy == "never":
        return Outcome.FAILS if crashed else Outcome.STAYS
    if not crashed:
        return Outcome.RESTARTS if policy == "always" else Outcome.STAYS
    return Outcome.FAILS if left == 0 else Outcome.RESTARTS


@dataclass
class CrashHistory:
    """The crashes of one process, and how many of them came in a row."""

    policy: RestartPolicy
    times: deque[float] = field(default_factory=deque)
    in_a_row: int = 0
    late_in_a_row: int = 0

    def forget(self) -> None:
        """A person started it: a new life."""
        self.times.clear()
        self.in_a_row = self.late_in_a_row = 0

    def ended(
        self, now: float, *, crashed: bool, ready_for: float | None, chance: float, late: bool = False
    ) -> Decision:
        """Decides after an end at `now` (seconds, monotonic).

        `ready_for` is how long the run was ready, None if it never was; `late` if it was ended for that; `chance` is uniform in
        0..1 and gives the jitter.
        """
        rules = self.policy
        outcome = outcome_of(rules.policy, crashed=crashed, left=self.left(now))
        if outcome is Outcome.STAYS:
            return Leave()
        if rules.policy == "never":
            return GiveUp(Message("policy.never"))
        if ready_for is not None and ready_for >= rules.healthy_after:
            self.in_a_row = 0
        self.in_a_row += 1
        self.late_in_a_row = self.late_in_a_row + 1 if late else 0
        if crashed:
            self._remember(now)
        if outcome is Outcome.FAILS:
            limit, window = next(one for one in self._limits() if self._within(now, one[1]) >= one[0])
            return GiveUp(Message("policy.crashes-within", count=limit, seconds=f"{window:g}"))
        if self.late_in_a_row >= rules.crash_limit:
            return GiveUp(Message("policy.late-in-a-row", count=self.late_in_a_row))
        return self._restart(chance)

    def delayed(self, chance: float) -> Restart:
        """After what was no fault of the process, such as a machine without memory: the back-off grows, and no limit is met."""
        self.in_a_row += 1
        return self._restart(chance)

    def left(self, now: float) -> int:
        """After so many more crashes, one upon the other, it would be started again; at 0 the next one is its last."""
        if self.policy.policy == "never":
            return 0
        return max(0, min(limit - 1 - self._within(now, window) for limit, window in self._limits()))

    def _restart(self, chance: float) -> Restart:
        rules = self.policy
        exponent = min(self.in_a_row - 1, 64)
        delay = min(rules.initial * rules.factor**exponent, rules.maximum)
        return Restart(delay * (1 + rules.jitter * (2 * chance - 1)), self.in_a_row)

    def _limits(self) -> tuple[tuple[int, float], tuple[int, float]]:
        rules = self.policy
        return (rules.crash_limit, rules.crash_window), (rules.slow_crash_limit, rules.slow_crash_window)

    def _remember(self, now: float) -> None:
        self.times.append(now)
        longest = max(window for _, window in self._limits())
        while self.times[0] < now - longest:
            self.times.popleft()

    def _within(self, now: float, window: float) -> int:
        return sum(1 for time in self.times if time >= now - window)
