"""A world in which electors compete: processes with clocks of their own, and a store that may be slow or out of order.

Time is simulated, event by event. Requests and replies may be slow, lost, or refused; a request may be carried out
long after its sender gave up on it. Monotonic clocks differ in their rates by up to 2 %. `election_simulator` decides
what goes wrong when.

What must hold is checked at every event; the first breach raises `Violation`:

- at any instant at most one process whose `is_master()` says so;
- one holder per epoch; (epoch, seq) in the store only rises;
- after a crash of the master a new one within ttl + 2 x renew + 1 s, after its clean stop, or after a hand-over the named
  one, within 1.5 s, after an outage of the store within ttl + 3 s: when nothing else goes wrong around it;
- no new reign without a cause.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from luabus.lease.elector import (
    Action,
    Elector,
    Finished,
    Lost,
    Observation,
    Read,
    Seen,
    Sleep,
    Swap,
    Swapped,
    Wake,
)
from luabus.lease.stores.base import LeaseRow

GROUP = 2
TIMEOUTS_S = (1.0, 2.5, 4.0)  # of a store operation
SETTLE_S = 7.0  # after a disturbance, until the promises about times hold again: operations under way run out


class Violation(AssertionError):
    """An invariant is broken."""


@dataclass
class Report:
    """What happened in one run or in many, to show that the checks were not idle."""

    checks: Counter[str] = field(default_factory=Counter)
    reigns: int = 0
    takeover_s: list[float] = field(default_factory=list)
    """From each crash of a master in calm weather to the next reign."""
    clean_s: list[float] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.checks += other.checks
        self.reigns += other.reigns
        self.takeover_s += other.takeover_s
        self.clean_s += other.clean_s


class Process:
    """One incarnation of a candidate, with its clocks."""

    def __init__(self, number: int, incarnation: int, rng: random.Random, started: float) -> None:
        self.id = GROUP << 16 | number
        self.incarnation = incarnation
        self.started = started
        self.offset = rng.uniform(-1e3, 1e6)
        self.rate = rng.uniform(0.98, 1.02)
        self.wall_offset = rng.uniform(-0.5, 0.5)
        self.elector: Elector  # set by the simulation
        self.paused_until = 0.0
        self.alive = True
        self.waits_for_store = False
        self.step_number = 0  # events that were meant for an earlier step are void

    def clock(self, t: float) -> float:
        return self.offset + self.rate * t

    def time_of(self, clock: float) -> float:
        return (clock - self.offset) / self.rate

    def is_master(self, t: float) -> bool:
        return self.alive and self.elector.is_master(self.clock(t))


@dataclass
class Weather:
    """How the store and the way to it are."""

    typical_s: float = 0.004
    slow: float = 0.0  # chance that a way takes seconds
    refused: float = 0.0  # ... that a request is refused at once
    lost: float = 0.0  # ... that a request or a reply gets lost
    late: float = 0.0  # ... that a request arrives long after its sender has given up
    stumble: float = 0.001  # ... that a process pauses between a decision and its sending, or while it waits


FAIR = Weather()
SLOW = Weather(typical_s=0.3, slow=0.4)
FLAKY = Weather(refused=0.2, lost=0.2, late=0.1)
REFUSING = Weather(refused=1.0)
SILENT = Weather(lost=1.0)
FOUL = Weather(typical_s=0.2, slow=0.2, refused=0.1, lost=0.15, late=0.1, stumble=0.05)
HEAVY = Weather(typical_s=0.3, slow=0.3, stumble=0.15)

Make = Callable[[Process, "World"], Elector]


def plain(process: Process, world: World) -> Elector:
    """The elector that luabus uses."""
    return Elector(GROUP, process.id, process.incarnation, ttl=world.ttl, renew=world.renew)


class World:
    """The processes, the store, the weather, and what is checked. `make` builds the electors."""

    def __init__(
        self, seed: int, *, make: Make = plain, duration: float = 120.0, ttl: float = 10.0, renew: float = 1.0
    ) -> None:
        self.rng = random.Random(seed)
        self.make = make
        self.duration = duration
        self.ttl = ttl
        self.renew = renew
        self.t = 0.0
        self.timeout_s = self.rng.choice(TIMEOUTS_S)
        self.report = Report()
        self.row: LeaseRow | None = None
        self.weather = FAIR
        self.processes: list[Process] = []
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._event_number = 0
        self.written: dict[
            tuple[int, int], float
        ] = {}  # for electors which write wall-clock times with the row
        self._incarnation = 0
        self._holders: dict[int, tuple[int, int]] = {}  # epoch -> who was master in it
        self._reign = (0, 0, 0)  # id, incarnation and epoch of the last one seen to be master
        self._reign_began = 0.0
        self._resigned: set[tuple[int, int]] = (
            set()
        )  # (incarnation, epoch) that ended of its own will, or by a crash
        self._disturbed_until = 0.0
        self._departures: list[float] = []

    def at(self, t: float, call: Callable[..., None], *arguments: Any) -> None:
        self._event_number += 1
        heapq.heappush(self._events, (t, self._event_number, call, arguments))

    def play(self) -> None:
        events = self._events
        while events and events[0][0] <= self.duration:
            self.t, _, call, arguments = heapq.heappop(events)
            call(*arguments)

    # Processes.

    def start(self, number: int) -> None:
        self._incarnation += 1
        process = Process(number, self._incarnation, self.rng, self.t)
        process.elector = self.make(process, self)
        self.processes = [other for other in self.processes if other.alive] + [process]
        self.step(process, Wake())

    def step(self, process: Process, seen: Observation) -> None:
        rng, t = self.rng, self.t
        process.step_number += 1
        process.waits_for_store = False
        elector, now = process.elector, process.clock(t)
        epoch, was_master = elector.epoch, elector.is_master(now)
        action = elector.step(seen, now, rng.random())
        if elector.is_master(now):
            self.check(process)
            if not was_master and epoch == elector.epoch:
                raise Violation(f"{t:.3f}: the reign of epoch {epoch} had ended, and goes on")
        if type(action) is Sleep:
            wake_at = max(t, process.time_of(action.until)) + rng.random() * 0.003
            self.at(wake_at, self.when_running, process, process.step_number, self.step, Wake())
        elif type(action) is Finished:
            process.alive = False
        else:
            process.waits_for_store = True
            sent_at = t + 0.0002
            if rng.random() < self.weather.stumble:
                self.at(
                    t + rng.choice((0.0, 0.0003)),
                    self.pause,
                    process,
                    rng.choice((0.5, 2.5)) * 10.0 * rng.random(),
                )
            self.at(sent_at, self.when_running, process, process.step_number, self.send, action)

    def when_running(
        self, process: Process, step_number: int, call: Callable[[Process, Any], None], argument: Any
    ) -> None:
        """Let the process do something, as soon as it is not paused, if it still waits for that."""
        if not process.alive or step_number != process.step_number:
            return
        if self.t < process.paused_until:
            # What came in meanwhile is found in about the order in which it came.
            late = process.paused_until + self.rng.random() * 0.002
            self.at(late, self.when_running, process, step_number, call, argument)
        else:
            call(process, argument)

    def pause(self, process: Process, seconds: float) -> None:
        process.paused_until = max(process.paused_until, self.t + seconds)
        self.disturb(seconds)

    # The store.

    def send(self, process: Process, action: Action) -> None:
        weather, rng = self.weather, self.rng
        there_s, back_s = self.way(), self.way()
        arrives, answered = True, True
        if weather is not FAIR:
            if rng.random() < weather.refused:
                self.reply_at(self.t + 0.001, process, Lost())
                return
            arrives = rng.random() >= weather.lost
            answered = rng.random() >= weather.lost
            if rng.random() < weather.late:
                there_s = rng.uniform(1.0, 30.0)
        timeout_s = self.timeout_s / process.rate
        answered = answered and arrives and there_s + back_s < timeout_s
        if arrives:
            back = (process, process.step_number, back_s) if answered else None
            self.at(self.t + there_s, self.carry_out, action, back)
        if not answered:
            self.reply_at(self.t + timeout_s, process, Lost())

    def way(self) -> float:
        if self.weather.slow and self.rng.random() < self.weather.slow:
            return self.rng.uniform(0.2, 5.0)
        return self.weather.typical_s * (0.5 + self.rng.random())

    def carry_out(self, action: Action, back: tuple[Process, int, float] | None) -> None:
        """The store does one operation, in one instant."""
        result: Observation
        if type(action) is Swap:
            done = version(self.row) == version(action.expected)
            if done:
                self.check_swap(action.new)
                self.row = action.new
            result = Swapped(done)
        else:
            assert type(action) is Read
            result = Seen(self.row)
        if back is not None:
            process, step_number, back_s = back
            self.at(self.t + back_s, self.when_running, process, step_number, self.step, result)

    def reply_at(self, t: float, process: Process, result: Observation) -> None:
        self.at(t, self.when_running, process, process.step_number, self.step, result)

    # What must hold.

    def check_swap(self, new: LeaseRow) -> None:
        old = self.row
        if old is not None and (new.epoch, new.seq) <= (old.epoch, old.seq):
            raise Violation(f"{self.t:.3f}: {new} written over {old}")

    def check(self, process: Process) -> None:
        """After each step of a process which is master; only a step can make it so."""
        t = self.t
        for other in self.processes:
            if other is not process and other.is_master(t):
                raise Violation(f"{t:.3f}: two masters, {process.elector.row} and {other.elector.row}")
        epoch = process.elector.epoch
        me = (process.id, process.incarnation)
        if self._holders.setdefault(epoch, me) != me:
            raise Violation(f"{t:.3f}: epoch {epoch} has two holders, {self._holders[epoch]} and {me}")
        if (*me, epoch) == self._reign:
            return
        if epoch <= self._reign[2]:
            raise Violation(f"{t:.3f}: epoch {epoch} begins after {self._reign[2]}")
        self.check_cause()
        self._reign = (*me, epoch)
        self._reign_began = t
        self.report.reigns += 1

    def check_cause(self) -> None:
        _, incarnation, epoch = self._reign
        if not epoch or (incarnation, epoch) in self._resigned:
            return
        if self._disturbed_until + self.ttl + SETTLE_S < self.t:
            raise Violation(f"{self.t:.3f}: a new master without a cause")
        self.report.checks["new reign after a disturbance"] += 1

    def disturb(self, seconds: float = 0.0) -> None:
        self._disturbed_until = max(self._disturbed_until, self.t + seconds)

    def depart(self, process: Process) -> None:
        """This process's reign ends for a reason of its own."""
        self._resigned.add((process.incarnation, process.elector.epoch))
        self._departures.append(self.t)

    def expect_reign(self, what: str, within_s: float, *, by: Process | None = None) -> None:
        """Have it checked that a new reign begins within so many seconds from now, if the weather stays fair."""
        since = self.t
        calm = self._disturbed_until + SETTLE_S < since
        watchers = [p for p in self.processes if p.alive and p.started + SETTLE_S < since]
        departures = len(self._departures)

        def look() -> None:
            others = [p for p in watchers if p.alive]
            disturbed = self._disturbed_until > since or len(self._departures) != departures
            if not calm or disturbed or not others or (by and not by.alive):
                return
            if self._reign_began < since or (by is not None and self._reign[0] != by.id):
                raise Violation(
                    f"{self.t:.3f}: {within_s:g} s after {what}: row {self.row}, last reign {self._reign}"
                )
            self.report.checks[what] += 1
            took = self.report.takeover_s if what == "crash" else self.report.clean_s
            took.append(self._reign_began - since)

        self.at(since + within_s, look)

    def expect_master(self, within_s: float) -> None:
        """Have it checked that somebody is master so many seconds after the store is back."""
        since = self.t
        watchers = [p for p in self.processes if p.alive]
        departures = len(self._departures)

        def look() -> None:
            if self._disturbed_until > since or len(self._departures) != departures or not watchers:
                return
            if not any(p.is_master(self.t) for p in self.processes):
                raise Violation(
                    f"{self.t:.3f}: no master {within_s:g} s after the store came back: {self.row}"
                )
            self.report.checks["outage"] += 1

        self.at(since + within_s, look)


def version(row: LeaseRow | None) -> tuple[int, int] | None:
    return None if row is None else (row.epoch, row.seq)
