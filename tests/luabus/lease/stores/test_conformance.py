"""What every lease store must do, shown on the real servers."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from luabus.ids import ServiceId
from luabus.lease import LeaseStore, LeaseStoreError
from luabus.lease.stores.base import LeaseRow
from tests.luabus.lease.conftest import Opener
from tests.support.lease_servers import LeaseServer, StoreServer

LARGE = 2**63 - 1
FIRST = LeaseRow(group=5, holder=0x0005_0001, incarnation=LARGE, epoch=1, seq=0)
NEXT = LeaseRow(group=5, holder=0x0005_0001, incarnation=LARGE, epoch=1, seq=1)
STALE = LeaseRow(group=5, holder=0x0005_0002, incarnation=7, epoch=2, seq=0)


async def test_row_that_never_was(server: StoreServer, connect: Opener) -> None:
    store = connect(server)
    assert await store.read(5) is None
    assert not await store.compare_and_set(5, FIRST, NEXT)
    assert await store.read(5) is None


async def test_first_row_is_written_once(server: StoreServer, connect: Opener) -> None:
    store = connect(server)
    assert await store.compare_and_set(5, None, FIRST)
    assert not await store.compare_and_set(5, None, STALE)
    assert await store.read(5) == FIRST


async def test_swap_needs_the_very_epoch_and_seq(server: StoreServer, connect: Opener) -> None:
    store, other = connect(server), connect(server)
    await store.compare_and_set(5, None, FIRST)
    assert await store.compare_and_set(5, FIRST, NEXT)
    assert await other.read(5) == NEXT
    assert not await other.compare_and_set(5, FIRST, STALE)
    assert not await other.compare_and_set(5, STALE, STALE)
    assert await other.read(5) == NEXT
    assert await other.compare_and_set(5, NEXT, STALE)
    assert await store.read(5) == STALE


async def test_every_field_comes_back(server: StoreServer, connect: Opener) -> None:
    store = connect(server)
    row = LeaseRow(
        group=255, holder=0x00FF_FFFF, incarnation=LARGE, epoch=LARGE - 1, seq=LARGE - 2, heir=0x00FF_0001
    )
    assert await store.compare_and_set(255, None, row)
    assert await store.read(255) == row
    free = LeaseRow(group=255, holder=0, incarnation=0, epoch=LARGE - 1, seq=LARGE - 1, heir=0)
    assert await store.compare_and_set(255, row, free)
    assert await store.read(255) == free


async def test_ids_may_be_service_ids(server: StoreServer, connect: Opener) -> None:
    """They are numbers that print as `5.1`."""
    store = connect(server)
    row = LeaseRow(group=5, holder=ServiceId.of(5, 1), incarnation=1, epoch=1, seq=0, heir=ServiceId.of(5, 2))
    assert await store.compare_and_set(5, None, row)
    assert await store.read(5) == row
    assert await store.compare_and_set(5, row, NEXT)


async def test_groups_and_clusters_are_apart(server: StoreServer, connect: Opener) -> None:
    store, elsewhere = connect(server), connect(server, namespace=connect.namespace + "-2")
    await store.compare_and_set(5, None, FIRST)
    assert await store.read(6) is None
    assert await elsewhere.read(5) is None
    assert await elsewhere.compare_and_set(5, None, STALE)
    assert await store.read(5) == FIRST


async def test_what_was_written_outlives_the_store_object(server: StoreServer, connect: Opener) -> None:
    store = connect(server)
    await store.compare_and_set(5, None, FIRST)
    await store.close()
    assert await connect(server).read(5) == FIRST


async def test_of_many_contenders_one_wins(server: StoreServer, connect: Opener) -> None:
    """All connect, make the table and write the first row at once; then race for ten more."""
    contenders = [connect(server, timeout_s=20.0) for _ in range(8)]
    row: LeaseRow | None = None
    for epoch in range(1, 12):
        rows = [LeaseRow(5, 0x0005_0001 + i, 100 + i, epoch, 0) for i in range(len(contenders))]
        won = await asyncio.gather(
            *(store.compare_and_set(5, row, new) for store, new in zip(contenders, rows, strict=True))
        )
        assert sum(won) == 1
        row = rows[won.index(True)]
        assert await contenders[0].read(5) == row


COUNTER = """
import asyncio, sys
from luabus.lease.stores.base import LeaseRow
from luabus.lease import open_store

async def main(url, namespace, me, until):
    store = open_store(url, namespace=namespace, timeout_s=30.0)
    won = 0
    while True:
        row = await store.read(5)
        if row is not None and row.seq >= until:
            break
        new = LeaseRow(5, me, me, 1, 0 if row is None else row.seq + 1)
        won += await store.compare_and_set(5, row, new)
    await store.close()
    print(won)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


async def test_processes_count_together(server: StoreServer, connect: Opener) -> None:
    """Three processes count up in one row as fast as they can: no step is lost, none is taken twice."""
    until = 60
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", COUNTER, server.url, connect.namespace, str(me), str(until),
            stdout=asyncio.subprocess.PIPE,
        )
        for me in (1, 2, 3)
    ]  # fmt: skip
    won = [int((await process.communicate())[0]) for process in processes]
    row = await connect(server).read(5)
    assert row is not None
    assert sum(won) == row.seq + 1 == until + 1


async def test_store_that_does_not_answer(server: StoreServer, connect: Opener) -> None:
    """An operation ends within its time-out, with the typed error; when the store is back, so is the object."""
    store = connect(server, timeout_s=0.5)
    patient = connect(server)
    await patient.compare_and_set(5, None, FIRST)
    assert await store.read(5) == FIRST
    server.freeze()
    try:
        for attempt in (store.compare_and_set(5, FIRST, NEXT), store.compare_and_set(5, FIRST, NEXT)):
            began = time.monotonic()
            with pytest.raises(LeaseStoreError) as caught:
                await attempt
            assert time.monotonic() - began < 1.0
            assert caught.value.store == store.address
            assert store.address in str(caught.value)
    finally:
        server.thaw()
    # Sent before the freeze ended, they may have been carried out since: that is what "unknown" means.
    assert await patient.read(5) in (FIRST, NEXT)
    await eventually_reads(store)


async def test_first_use_and_kill(fresh_server: LeaseServer, connect: Opener) -> None:
    """Many at once may be the first; what was confirmed outlives kill -9; the same objects work again."""
    stores = [connect(fresh_server) for _ in range(6)]
    rows = [LeaseRow(5, 0x0005_0001 + i, 100 + i, 1, 0) for i in range(len(stores))]
    won = await asyncio.gather(
        *(store.compare_and_set(5, None, row) for store, row in zip(stores, rows, strict=True))
    )
    assert sum(won) == 1
    first = rows[won.index(True)]
    fresh_server.kill()
    for store in (stores[0], stores[0], connect(fresh_server)):
        began = time.monotonic()
        with pytest.raises(LeaseStoreError):
            await store.read(5)
        assert time.monotonic() - began < 1.0
    fresh_server.start()
    assert await eventually_reads(stores[0]) == first
    assert await stores[0].compare_and_set(5, first, NEXT)
    assert await eventually_reads(stores[1]) == NEXT


async def eventually_reads(store: LeaseStore) -> LeaseRow | None:
    """The row, as soon as a server that was just brought back answers."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await store.read(5)
            except LeaseStoreError:
                await asyncio.sleep(0.05)
