"""Elections by real candidates over each of the four real stores: contenders, hand-overs, and stores that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from luabus.ids import ServiceId
from luabus.lease.candidate import Candidate, lease_clock
from luabus.lease.lease_options import LeaseOptions
from tests.support.lease_servers import LeaseServer, StoreServer

TTL, RENEW = 2.0, 0.2


class Group:
    """Some candidates for one group. At each change it is checked that no two are masters, and that epochs rise."""

    def __init__(self, url: str, namespace: str, instances: range) -> None:
        self.changed = asyncio.Event()
        self.epochs: list[int] = []
        self.broken: list[str] = []
        self.candidates = [
            Candidate(
                2,
                ServiceId.of(2, instance),
                1000 + instance,
                LeaseOptions(url, TTL, RENEW, namespace),
                on_master=self._master,
                on_slave=self._slave,
            )
            for instance in instances
        ]

    def _master(self, epoch: int) -> None:
        if self.epochs and epoch <= self.epochs[-1]:
            self.broken.append(f"epoch {epoch} after {self.epochs[-1]}")
        self.epochs.append(epoch)
        self._slave()

    def _slave(self) -> None:
        masters = [candidate.snapshot() for candidate in self.candidates if candidate.is_master()]
        if len(masters) > 1:
            self.broken.append(f"two masters: {masters}")
        self.changed.set()

    def master(self) -> Candidate | None:
        return next((candidate for candidate in self.candidates if candidate.is_master()), None)

    async def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Wait for it; return how long it took."""
        began = lease_clock()
        async with asyncio.timeout(within_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()
        return lease_clock() - began

    async def a_master(self, within_s: float = 10.0) -> Candidate:
        await self.until(lambda: self.master() is not None, within_s)
        master = self.master()
        assert master is not None
        return master


class Elect(Protocol):
    def __call__(self, server: StoreServer, count: int, first: int = 1) -> Group:
        """Candidates 2.`first` and so on over that store; they are stopped at the end of the test."""


@pytest.fixture
async def elect(namespace: str) -> AsyncIterator[Elect]:
    groups: list[Group] = []

    def make(server: StoreServer, count: int, first: int = 1) -> Group:
        groups.append(Group(server.url, namespace, range(first, first + count)))
        return groups[-1]

    yield make
    for group in groups:
        await asyncio.gather(*(candidate.stop() for candidate in group.candidates))
        assert not group.broken


async def test_five_contend_and_leave_one_after_the_other(server: StoreServer, elect: Elect) -> None:
    group = elect(server, 5)
    await asyncio.gather(*(candidate.start() for candidate in group.candidates))
    for left in range(5, 0, -1):
        master = await group.a_master(1.5 * RENEW + 1.0)
        assert master.epoch == 6 - left
        await master.stop()
    assert group.epochs == [1, 2, 3, 4, 5]


async def test_hand_over(server: StoreServer, elect: Elect) -> None:
    group = elect(server, 3)
    await asyncio.gather(*(candidate.start() for candidate in group.candidates))
    for _ in range(4):
        master = await group.a_master()
        heir = group.candidates[group.candidates.index(master) - 1]
        await master.hand_over(heir.service_id)
        await group.until(heir.is_master, 1.5 * RENEW + 1.0)
    assert group.epochs == [1, 2, 3, 4, 5]


async def test_a_store_that_stops_answering_and_comes_back(server: StoreServer, elect: Elect) -> None:
    """The master serves until its deadline, then nobody does, and says why; afterwards there is one again."""
    group = elect(server, 3)
    await asyncio.gather(*(candidate.start() for candidate in group.candidates))
    master = await group.a_master()
    server.freeze()
    try:
        left_s = master.snapshot().valid_for_s
        took_s = await group.until(lambda: group.master() is None, TTL + 1.0)
        assert left_s - 0.05 < took_s < left_s + RENEW + 0.3
        assert master.snapshot().state.startswith("lease store unreachable since ")
    finally:
        server.thaw()
    await group.a_master(TTL + 3.0)


async def test_a_server_that_is_killed_and_comes_back(fresh_server: LeaseServer, elect: Elect) -> None:
    group = elect(fresh_server, 3)
    await asyncio.gather(*(candidate.start() for candidate in group.candidates))
    master = await group.a_master()
    await asyncio.to_thread(fresh_server.kill)
    await group.until(lambda: group.master() is None, TTL + 1.0)
    assert not master.is_master()
    # A candidate that starts now does not wait for the store, and takes part when it is back.
    late = elect(fresh_server, 1, first=4)
    began = lease_clock()
    await late.candidates[0].start()
    assert lease_clock() - began < 0.1
    await asyncio.to_thread(fresh_server.start)
    await group.a_master(TTL + 3.0)  # the late one has only begun its ttl when the others' have passed
    assert late.master() is None
