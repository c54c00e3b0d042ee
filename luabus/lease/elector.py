"""Who is master of a group: the rule, without input or output.

An `Elector` is one candidate for one group. It is told what happened (a row was read, a swap was carried out, a
reply never came, time passed) and answers with the one thing to do next. It never waits, reads no clock and throws no
dice: `now` (seconds of a monotonic clock of this process) and `chance` (a number in [0, 1)) are arguments. So the
services and the simulator run the same code.

    action = elector.step(Wake(), now, chance)
        Read            read the row,                        then step(Seen(row), ...)   or step(Lost(), ...)
        Swap(old, new)  compare-and-set,                     then step(Swapped(bool), ...)  or step(Lost(), ...)
        Sleep(until)    wait, or until there is a new wish,  then step(Wake(), ...)
        Finished        only after `leave`: nothing is held any more

The rule (docs/masters.md says why):

1. A change of the row's (epoch, seq) restarts this candidate's own timer. No time is ever written or compared
   between machines.
2. After `ttl` without a change, or at once when the row is free, take it: epoch + 1, seq 0, if (epoch, seq) still are
   those observed.
3. The holder renews: `t0` is taken before the swap is sent; when it is carried out, `valid_until = t0 + ttl - margin`.
   `is_master(now)` is computed at each use; there is no flag.
4. An epoch is one uninterrupted term. Behind the highest that a message can carry they go on from where they were before the row
   leapt there, or begin again at 1. A holder whose `valid_until` has passed takes its own row anew, with a new epoch.
5. A swap whose reply never came may have been carried out, or may yet be: the row is read again before anything else.
6. A holder which gives up is no master from before the swap is sent. The freed row keeps its epoch. It may name an
   transferee; then the others hold back for `hold_back` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final

from luabus.lease.stores.base import NOBODY, LeaseRow
from luabus.limits import EPOCH_LEAP, MAX_EPOCH

JITTER: Final = 0.1
"""Share of `renew` by which each wait is made longer or shorter, so that candidates do not march in step."""

MARGIN: Final = 0.05
"""Share of `ttl` by which a holder stops early: covers monotonic clocks whose rates differ by up to this much."""

RETRY: Final = 0.25
"""Share of `renew` to wait after a failure before the store is asked again."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Time has passed, or there is a new wish (`leave`, `hand_over`, `look`)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The row as a read found it; None when the group has none."""

    row: LeaseRow | None


@dataclass(frozen=True, slots=True)
class Swapped:
    """The store's answer to a swap: carried out, or the row was no longer the expected one."""

    done: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A read or swap that failed, or whose answer did not come in time. A swap may still be carried out."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the group's row."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Write `new` if the row's (epoch, seq) still are `expected`'s (None: if there is no row)."""

    expected: LeaseRow | None
    new: LeaseRow


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to do before `until` (in the same seconds as `now`)."""

    until: float


@dataclass(frozen=True, slots=True)
class Finished:
    """After `leave`: the row is not, or no longer, this candidate's."""


Observation = Wake | Seen | Swapped | Lost
Action = Read | Swap | Sleep | Finished

_READ: Final = Read()
_FINISHED: Final = Finished()


class Elector:
    """One candidate for one group's lease. Not for use by several threads.

    `holder` is the service id, `incarnation` tells this process from an earlier one with the same id. `ttl` and
    `renew` in seconds; every candidate of a group must have the same `ttl`. A `renew` of a tenth of `ttl` lets some
    renewals fail without costing the lease; more than half of it is refused with `ValueError`.
    """

    def __init__(
        self,
        group: int,
        holder: int,
        incarnation: int,
        *,
        ttl: float = 10.0,
        renew: float = 1.0,
    ) -> None:
        if holder == NOBODY:
            raise ValueError("service id 0 cannot hold a lease: it stands for nobody")
        if not 0 < renew <= ttl / 2:
            raise ValueError(
                f"renew = {renew} s with ttl = {ttl} s: renew must be above 0 and at most ttl / 2"
            )
        self.group = group
        self.holder = holder
        self.incarnation = incarnation
        self.ttl = ttl
        self.renew = renew
        self.margin = ttl * MARGIN
        self.hold_back = 3 * renew
        self.epoch = 0
        """The epoch of this candidate's present or last term; 0 before the first."""
        self.valid_until = -inf
        """The last term ends here, unless it is renewed before."""
        self.row: LeaseRow | None = None
        """The row as last observed."""
        self._since: float | None = None  # when (epoch, seq) was seen to change to `row`'s; None: never read
        self._fresh = False  # `row` is what the store last said, and no swap without an answer came after
        self._may_hold = False  # the row is this candidate's, or could be by a swap without an answer
        self._due = -inf  # when to read or renew next, or to try again
        self._hinted = False  # `look` was called since the last read began
        self._floor = 0  # the highest epoch known to have been used
        self._below = (
            0  # what it was before the row leapt, to go on from behind the highest epoch that there is
        )
        self._sent: Swap | None = None
        self._sent_at = 0.0
        self._transferee: int | None = (
            None  # the wish to give up: in favour of this id, or of NOBODY in particular
        )
        self._leaving = False

    def is_master(self, now: float) -> bool:
        """Whether this candidate is its group's master at this very moment."""
        return now < self.valid_until

    @property
    def giving_up(self) -> bool:
        """A `leave` or `hand_over` is under way: the row is, or may be, still this candidate's."""
        return self._transferee is not None and self._may_hold

    @property
    def leaving(self) -> bool:
        """`leave` was called."""
        return self._leaving

    # Wishes. They end the mastership at once; the next `step` does the rest.

    def leave(self) -> None:
        """Be no candidate any more: give the lease up if it is held. For good."""
        self._leaving = True
        self._give_up(NOBODY)

    def hand_over(self, transferee: int) -> None:
        """Give the lease up in favour of the service id `transferee`, and go on as a candidate.

        No effect when nothing is held.
        """
        if self._may_hold and not self._leaving:
            self._give_up(transferee)

    def poll_now(self) -> None:
        """A hint that something changed: read the row at the next step, not at its time.

        A read that is under way may be older than the hint, and is followed by another.
        """
        if not self._may_hold:
            self._due = -inf
            self._hinted = True

    def raise_floor(self, epoch: int) -> None:
        """Hold no epoch below this one, and take none up to it: somebody (a router) has seen it in use.

        It matters when a store has lost rows that were written: a master of a lower epoch is obeyed by nobody. An epoch that
        lies a leap above all that is known is not believed: the store knows better.
        """
        if self._floor < epoch <= self._floor + EPOCH_LEAP:
            self._floor = epoch
            if self.epoch < epoch:
                self.valid_until = -inf

    # The rule.

    def step(self, seen: Observation, now: float, chance: float) -> Action:
        """Take in what happened by `now`; return what to do next. The module's text has the protocol."""
        pause = self.renew * (1 - JITTER + 2 * JITTER * chance)
        sent, self._sent = self._sent, None
        match seen:
            case Seen(row):
                self._observe(row, now)
                self._due = -inf if self._hinted else now + pause
            case Swapped(True):
                assert sent is not None, "the answer to a swap that was not sent"
                self._observe(sent.new, now)
                self._grant(sent.new, now)
                self._due = self._sent_at + pause
            case Swapped(False):
                self._fresh = False
                self._due = now
            case Lost():
                self._fresh = False
                self._due = now + pause * RETRY
        action = self._next(now)
        if isinstance(action, Swap):
            self._sent, self._sent_at = action, now
            self._may_hold = True
        elif isinstance(action, Read):
            self._hinted = False
        return action

    def _give_up(self, transferee: int) -> None:
        self._transferee = transferee
        self.valid_until = -inf

    def _observe(self, row: LeaseRow | None, now: float) -> None:
        if self._since is None or _version(row) != _version(self.row):
            self._since = now
        self.row = row
        self._fresh = True
        self._may_hold = self._is_mine(row)
        if row is None or not self._may_hold or row.epoch != self.epoch:
            self.valid_until = -inf
        if row is not None:
            # A store that is an older copy of itself knows less. But a leap below is where somebody has repaired it, or where the
            # epochs began again behind the highest.
            epoch = _epoch_of(row)
            if epoch > self._floor + EPOCH_LEAP:
                self._below = self._floor
            if epoch > self._floor or self._floor - epoch > EPOCH_LEAP:
                self._floor = epoch

    def _grant(self, new: LeaseRow, now: float) -> None:
        """Extend the mastership by a swap that was carried out; its `t0` is when it was sent."""
        if not self._is_mine(new) or self._transferee is not None:
            return
        # A renewal that is answered after the term has ended does not bring it back: that takes a new epoch.
        if (new.seq == 0 or self.is_master(now)) and new.epoch >= self._floor:
            self.epoch = new.epoch
            self.valid_until = self._sent_at + self.ttl - self.margin

    def _next(self, now: float) -> Action:
        if self._leaving and not self._may_hold:
            return _FINISHED
        if not self._fresh:
            return Sleep(self._due) if now < self._due else _READ
        row = self.row
        if row is not None and self._is_mine(row):
            if self._transferee is not None:
                return Swap(row, LeaseRow(self.group, NOBODY, 0, row.epoch, row.seq + 1, self._transferee))
            if not self.is_master(now):
                return self._take(row)
            return Sleep(self._due) if now < self._due else Swap(row, replace(row, seq=row.seq + 1))
        self._transferee = None
        free_at = self._free_at(row)
        if now >= free_at:
            return self._take(row)
        return _READ if now >= self._due else Sleep(min(self._due, free_at))

    def _free_at(self, row: LeaseRow | None) -> float:
        """When a row that is not ours may be taken."""
        assert self._since is not None
        if row is None:  # never written; or lost by the store, when an epoch is known
            return self._since + self.ttl if self._floor else -inf
        if row.holder != NOBODY:
            return self._since + self.ttl
        return -inf if row.transferee in (NOBODY, self.holder) else self._since + self.hold_back

    def _take(self, row: LeaseRow | None) -> Swap:
        epoch = (self._floor if self._floor < MAX_EPOCH else self._below) + 1
        return Swap(row, LeaseRow(self.group, self.holder, self.incarnation, epoch, 0))

    def _is_mine(self, row: LeaseRow | None) -> bool:
        return row is not None and row.holder == self.holder and row.incarnation == self.incarnation


def _epoch_of(row: LeaseRow) -> int:
    """What a store has may have been written by anybody: what is no epoch counts as the last there is."""
    return row.epoch if type(row.epoch) is int and 0 <= row.epoch <= MAX_EPOCH else MAX_EPOCH


def _version(row: LeaseRow | None) -> tuple[int, int] | None:
    return None if row is None else (row.epoch, row.seq)
