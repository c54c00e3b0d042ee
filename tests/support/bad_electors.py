"""Electors with one plausible mistake each. The simulator must catch every one, or it shows nothing."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from luabus.lease.elector import Action, Elector, Lost, Observation, Read, Swap, Swapped
from luabus.lease.stores.base import LeaseRow
from tests.support.election_world import GROUP, Make, Process, World


class BooleanFlag(Elector):
    """Is master from the moment it wins until it sees that it is none any more."""

    def is_master(self, now: float) -> bool:
        return self.valid_until > -inf


class DeadlineFromReply(Elector):
    """Counts the deadline from when the answer came, not from before the swap was sent."""

    def _grant(self, new: LeaseRow, now: float) -> None:
        if self._is_mine(new) and self._transferee is None:
            self.epoch = new.epoch
            self.valid_until = now + self.ttl - self.margin


class WrittenClock(Elector):
    """Writes the wall-clock time at which the lease ends; the others compare it with their own wall clocks."""

    written: dict[tuple[int, int], float]
    wall: Callable[[], float]

    def step(self, seen: Observation, now: float, chance: float) -> Action:
        action = super().step(seen, now, chance)
        if isinstance(action, Swap):
            self.written[action.new.epoch, action.new.seq] = self.wall() + self.ttl
        return action

    def _free_at(self, row: LeaseRow | None) -> float:
        if row is None or not row.holder:
            return super()._free_at(row)
        return -inf if self.wall() >= self.written[row.epoch, row.seq] else inf


class NoMargin(Elector):
    """Takes every monotonic clock to run alike."""

    def _grant(self, new: LeaseRow, now: float) -> None:
        self.margin = 0.0
        super()._grant(new, now)


class TimerFromRequest(Elector):
    """Starts its timer when the read was sent: the change it saw may be younger."""

    read_sent: float | None = None

    def step(self, seen: Observation, now: float, chance: float) -> Action:
        action = super().step(seen, now, chance)
        self.read_sent = now if isinstance(action, Read) else None
        return action

    def _observe(self, row: LeaseRow | None, now: float) -> None:
        super()._observe(row, now if self.read_sent is None else self.read_sent)


class SilenceIsConsent(Elector):
    """Takes a swap that was not answered as carried out."""

    def step(self, seen: Observation, now: float, chance: float) -> Action:
        if isinstance(seen, Lost) and self._sent is not None:
            seen = Swapped(True)
        return super().step(seen, now, chance)


class LateGiveUp(Elector):
    """Stays master until the store has confirmed that the lease is given up."""

    def _give_up(self, transferee: int) -> None:
        self._transferee = transferee


class SameIdIsMe(Elector):
    """Does not look at the incarnation."""

    def _is_mine(self, row: LeaseRow | None) -> bool:
        return row is not None and row.holder == self.holder


class SameEpochAgain(Elector):
    """Goes on with its epoch after its reign has ended, if nobody has taken the row."""

    def _grant(self, new: LeaseRow, now: float) -> None:
        self.epoch = new.epoch
        if self._is_mine(new) and self._transferee is None:
            self.valid_until = self._sent_at + self.ttl - self.margin


class NoHoldBack(Elector):
    """Takes a free row though it names another heir."""

    def _free_at(self, row: LeaseRow | None) -> float:
        return -inf if row is not None and not row.holder else super()._free_at(row)


class Polls(Elector):
    """Waits for two full ttl before it takes a dead master's row."""

    def _free_at(self, row: LeaseRow | None) -> float:
        return super()._free_at(row) + (self.ttl if row is not None and row.holder else 0.0)


class Greedy(Elector):
    """Takes a row that has not changed for half the ttl."""

    def _free_at(self, row: LeaseRow | None) -> float:
        return super()._free_at(row) - self.ttl / 2


MISTAKES: dict[type[Elector], str] = {
    BooleanFlag: "two masters",
    DeadlineFromReply: "two masters",
    WrittenClock: "two masters",
    NoMargin: "two masters",
    TimerFromRequest: "two masters",
    SilenceIsConsent: "two masters",
    LateGiveUp: "two masters",
    SameIdIsMe: "two masters",
    SameEpochAgain: "had ended, and goes on",
    NoHoldBack: "after hand-over",
    Polls: "after crash",
    Greedy: "two masters",
}
"""And what each must be caught at."""


def with_mistake(mistake: type[Elector]) -> Make:
    """Builds such electors for a simulation."""

    def make(process: Process, world: World) -> Elector:
        elector = mistake(GROUP, process.id, process.incarnation, ttl=world.ttl, renew=world.renew)
        if isinstance(elector, WrittenClock):
            elector.written = world.written
            elector.wall = lambda: world.t + process.wall_offset
        return elector

    return make
