"""A service's candidature for its group's lease: the elector (`luabus.lease.elector`) with a store, a clock and a loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from luabus import tasks
from luabus.errors import ConfigError, Refused
from luabus.exception_text import FATAL
from luabus.ids import ServiceId
from luabus.lease import LeaseStoreError, open_store
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
from luabus.lease.lease_options import LeaseOptions
from luabus.lease.stores.base import NOBODY, LeaseRow, describe
from luabus.limits import MOMENT_S
from luabus.logs import Log
from luabus.messages import Message
from luabus.transport.guard import callback_failed

__all__ = ["Candidate", "CandidateSnapshot", "lease_clock"]

logger = Log(__name__)

MAX_OPERATION_S: Final = 5.0
"""A store operation may take a quarter of the ttl, and never more than this."""

LAST_TRIES: Final = 2
"""How many failing store operations a candidate that leaves puts up with before it lets its lease run out instead."""


_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def lease_clock() -> float:
    """Seconds of a clock that never jumps and, where the system has one, runs on while the machine is suspended.

    Linux' `CLOCK_MONOTONIC` stands still then: a master that wakes up would believe in its lease.
    """
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


@dataclass(frozen=True, slots=True)
class CandidateSnapshot:
    """What a candidate knows at one moment, to be shown."""

    group: int
    service_id: ServiceId
    state: str
    """`master`, `candidate`, `stopped`, or `lease store unreachable since 2026-01-31T12:00:00Z`."""
    is_master: bool
    epoch: int
    """Of this candidate's own present or last term; 0 before the first."""
    valid_for_s: float
    """How long this candidate is master if no renewal succeeds from now on; 0 when it is none."""
    holder: ServiceId | None
    """Who holds the lease by the row last seen; None when it is free or was never seen."""
    holder_epoch: int
    """The epoch in the row last seen."""
    store: str
    """Its address, without credentials."""
    unreachable_s: float | None
    """For how long the store has not answered; None while it does."""
    last_error: str | None
    """The store's last failure, also when it is over."""
    problem: Message | None
    """`alarm.lease-store-unreachable` with since and reason, also while this one is master still; None while it answers."""


class Candidate:
    """Takes part in the election of one group's master.

    `incarnation` tells this process from every other one with the same `service_id`, earlier or later.

    `on_master(epoch)` and `on_slave()` are called in the loop, alternately, at each change. They may return
    awaitables, which are run one after the other; when the lease is given up (`stop`, `hand_over`), those of `on_slave`
    are waited for (for half the ttl at most) before it is.

    `clock` and `chance` are for tests. Raises `ConfigError` when the URL or the times do not fit.
    """

    def __init__(
        self,
        group: int,
        service_id: ServiceId,
        incarnation: int,
        options: LeaseOptions,
        *,
        on_master: Callable[[int], Awaitable[None] | None] | None = None,
        on_slave: Callable[[], Awaitable[None] | None] | None = None,
        clock: Callable[[], float] = lease_clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        try:
            self._elector = Elector(group, service_id, incarnation, ttl=options.ttl, renew=options.renew)
        except ValueError as error:
            raise ConfigError(f"the lease of group {group}: {error}", key="lease") from None
        self.group = group
        self.service_id = service_id
        self._operation_s = min(options.ttl / 4, MAX_OPERATION_S)
        self._own_store = isinstance(options.store, str)
        self._store = (
            open_store(options.store, namespace=options.namespace, timeout_s=self._operation_s)
            if isinstance(options.store, str)
            else options.store
        )
        self._on_master = on_master
        self._on_slave = on_slave
        self._clock = clock
        self._chance = chance
        self._task: asyncio.Task[None] | None = None
        self._wish = asyncio.Event()
        self._settled = asyncio.Event()  # no `hand_over` or `leave` is under way
        self._announced: int | None = None  # the term which the callbacks know of
        self._timer: asyncio.TimerHandle | None = None
        self._reaction: asyncio.Task[None] | None = None  # the last of `_reactions`
        self._reactions: set[asyncio.Task[None]] = set()
        self._asking: list[asyncio.Task[None]] = []  # those inside of which `stop` was called
        self._failing_since: float | None = None
        self._failing_text = ""
        self._problem: Message | None = None
        self._last_error: str | None = None
        self._last_tries = LAST_TRIES

    def is_master(self) -> bool:
        """Whether this process is its group's master now. Computed from the clock: ask at each use, keep no copy."""
        return self._elector.is_master(self._clock())

    @property
    def epoch(self) -> int:
        """The epoch of the present or last term; 0 before the first."""
        return self._elector.epoch

    async def start(self) -> None:
        """Begin to take part. Returns at once, whether or not the store can be reached."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"lease of group {self.group}")

    async def stop(self) -> None:
        """Be no master from now on, give the lease up so that another can take it at once, and end.

        Takes at most about half the ttl for an `on_slave` that does not end, and two of the store's time-outs for a
        store that does not answer: then the lease is left to run out. So it is when this is cancelled. A callback still running
        then is cancelled; one that calls this is not waited for. For good; a second call does nothing.
        """
        self._asking = [reaction for reaction in self._reactions if tasks.is_inside(reaction)]
        self._elector.leave()
        self._announce()
        self._wish.set()
        task, self._task = self._task, None
        try:
            if task is not None:
                await task  # which is cancelled with this
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for reaction in await tasks.end(self._reactions, MOMENT_S):
                logger.warning(
                    "group %d: a callback goes on although it was cancelled: %r", self.group, reaction
                )
            if self._own_store:
                await self._store.close()

    async def hand_over(self, transferee: ServiceId) -> None:
        """Give the lease up in favour of `transferee`, who takes it when it looks next (within `renew`).

        For three times `renew` nobody else does; then, the transferee being silent, everyone may. Returns when the row is
        given up. Raises `Refused` when this candidate is not the master or `transferee` is not of its group, and
        `LeaseStoreError` when the store does not confirm it: no master is then there until the lease has run out.
        """
        if transferee.group != self.group or transferee.instance == 0:
            raise Refused.coded(Message("refusal.no-member", name=str(transferee), group=self.group))
        if not self.is_master():
            holder = self.snapshot().holder
            code = (
                "refusal.not-master"
                if holder and holder != self.service_id
                else "refusal.not-master-nobody-is"
            )
            raise Refused.coded(
                Message(code, name=str(self.service_id), group=self.group, holder=str(holder))
            )
        if transferee == self.service_id:
            return
        self._elector.hand_over(transferee)
        self._settled.clear()
        self._announce()
        self._wish.set()
        try:
            async with asyncio.timeout(self._elector.ttl):
                await self._settled.wait()
        except TimeoutError:
            raise LeaseStoreError(
                f"the lease of group {self.group} was not handed over to {transferee}: {self._last_error}",
                store=self._store.address,
                reason=self._last_error or "",
            ) from None

    def poll_now(self) -> None:
        """A hint that the lease may have changed hands: look now, not at the next `renew`."""
        self._elector.poll_now()
        self._wish.set()

    def raise_floor(self, epoch: int) -> None:
        """A router knows of this epoch: be master in none below it. It matters when a store has lost rows."""
        self._elector.raise_floor(epoch)
        self._announce()
        self._wish.set()

    def snapshot(self) -> CandidateSnapshot:
        """The state at this moment."""
        now = self._clock()
        elector, row = self._elector, self._elector.row
        is_master = elector.is_master(now)
        if is_master:
            state = "master"
        elif self._task is None:
            state = "stopped"
        elif self._failing_since is not None:
            state = self._failing_text
        else:
            state = "candidate"
        return CandidateSnapshot(
            group=self.group,
            service_id=self.service_id,
            state=state,
            is_master=is_master,
            epoch=elector.epoch,
            valid_for_s=elector.valid_until - now if is_master else 0.0,
            holder=None if row is None or row.holder == NOBODY else ServiceId(row.holder),
            holder_epoch=row.epoch if row else 0,
            store=self._store.address,
            unreachable_s=None if self._failing_since is None else now - self._failing_since,
            last_error=self._last_error,
            problem=self._problem if self._failing_since is not None else None,
        )

    # The shell around the elector.

    async def _run(self) -> None:
        seen: Observation = Wake()
        while not isinstance(action := self._elector.step(seen, self._clock(), self._chance()), Finished):
            self._announce()
            if not self._elector.giving_up:
                self._settled.set()
            seen = await self._carry_out(action)
            if self._elector.leaving and isinstance(seen, Lost):
                self._last_tries -= 1
                if not self._last_tries:
                    logger.warning(
                        "group %d: the lease could not be given up, it runs out within %g s: %s",
                        self.group,
                        self._elector.ttl,
                        self._last_error,
                    )
                    return
        self._settled.set()

    async def _carry_out(self, action: Action) -> Observation:
        match action:
            case Sleep(until):
                await self._sleep(until)
                return Wake()
            case Read():
                return await self._ask(self._read())
            case Swap(expected, new):
                if new.holder == NOBODY and self._reaction is not None and self._reaction not in self._asking:
                    await asyncio.wait({self._reaction}, timeout=self._elector.ttl / 2)
                return await self._ask(self._swap(expected, new))
        raise AssertionError(action)

    async def _read(self) -> Observation:
        return Seen(await self._store.read(self.group))

    async def _swap(self, expected: LeaseRow | None, new: LeaseRow) -> Observation:
        return Swapped(await self._store.compare_and_set(self.group, expected, new))

    async def _ask(self, operation: Awaitable[Observation]) -> Observation:
        try:
            # Stores keep to a time-out of their own; this one is for a caller's store that does not.
            async with asyncio.timeout(2 * self._operation_s):
                seen = await operation
        except LeaseStoreError as error:
            self._failed(describe(error))
        except TimeoutError:
            self._failed(f"lease store {self._store.address}: no answer within {2 * self._operation_s:g} s")
        except (asyncio.CancelledError, GeneratorExit, *FATAL):
            raise
        except BaseException as error:
            logger.failure("group %d: an unforeseen failure of the lease store", self.group, error=error)
            self._failed(describe(error))
        else:
            if self._failing_since is not None:
                logger.info("group %d: the lease store answers again", self.group)
                self._failing_since = None
            return seen
        return Lost()

    def _failed(self, reason: str) -> None:
        self._last_error = reason
        if self._failing_since is None:
            self._failing_since = self._clock()
            since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            self._failing_text = f"lease store unreachable since {since}"
            self._problem = Message("alarm.lease-store-unreachable", since=since, reason=reason)
            logger.warning("group %d: %s", self.group, reason)

    async def _sleep(self, until: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._wish.wait()
        self._wish.clear()

    def _announce(self) -> None:
        """Tell the callbacks what has changed, and come back when the present term ends by itself."""
        left_s = self._elector.valid_until - self._clock()
        term = self._elector.epoch if left_s > 0 else None
        if self._timer is not None:
            self._timer.cancel()
        # Its own timer: the store may hang when the time comes.
        self._timer = None if term is None else asyncio.get_running_loop().call_later(left_s, self._announce)
        if term == self._announced:
            return
        before, self._announced = self._announced, term
        if before is not None and self._on_slave is not None:
            self._call(self._on_slave)
        if term is not None and self._on_master is not None:
            self._call(self._on_master, term)

    def _call(self, callback: Callable[..., Awaitable[None] | None], *arguments: int) -> None:
        try:
            result = callback(*arguments)
        except BaseException as error:
            callback_failed(callback, error, logger)
            return
        if inspect.isawaitable(result):
            self._reaction = tasks.start(self._react(self._reaction, callback, result))
            self._reactions.add(self._reaction)
            self._reaction.add_done_callback(self._reactions.discard)

    async def _react(
        self, earlier: asyncio.Task[None] | None, callback: Callable[..., object], result: Awaitable[None]
    ) -> None:
        if earlier is not None and earlier not in self._asking:
            await asyncio.wait((earlier,))
        try:
            await result
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            callback_failed(callback, error, logger)
