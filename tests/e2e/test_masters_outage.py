"""The lease store goes away beneath a cluster that works, and comes back: real stores, real processes, real traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from luabus.lease.candidate import lease_clock
from tests.support.lease_servers import LeaseServer, PostgresServer, RedisServer, SqliteFile, running
from tests.support.master_cluster import RENEW, TTL, Callers, MasterCluster
from tests.support.waiting import until


class Store(Protocol):
    url: str

    async def go_away(self) -> None: ...

    async def come_back(self) -> None: ...


class _File:
    def __init__(self, folder: Path) -> None:
        self._file = SqliteFile(folder)
        self.url = self._file.url

    async def go_away(self) -> None:
        self._file.freeze()

    async def come_back(self) -> None:
        self._file.thaw()


class _Server:
    def __init__(self, server: LeaseServer) -> None:
        self._server = server
        self.url = server.url

    async def go_away(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def come_back(self) -> None:
        await asyncio.to_thread(self._server.start)


@contextmanager
def _of_kind(kind: str, folder: Path) -> Iterator[Store]:
    if kind == "sqlite":
        yield _File(folder)
        return
    for server in running({"postgresql": PostgresServer, "redis": RedisServer}[kind]):
        yield _Server(server)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
async def test_the_store_goes_away_and_comes_back(kind: str, tmp_path: Path) -> None:
    some = ("router.1", "router.2", "recorder.1", "chief.1", "chief.2")
    with _of_kind(kind, tmp_path) as store:
        async with MasterCluster(tmp_path, store.url, some) as cluster, Callers(cluster) as callers:
            master, epoch = await cluster.until_master()
            away_at = lease_clock()
            await store.go_away()
            late = "chief.3"
            cluster.start(late)

            # It is told at once, and the master goes on.
            alarms = await cluster.until_alarms(
                lambda found: any(
                    text.startswith(f"{master}: lease store unreachable since 20") for text in found
                ),
                3.0,
            )
            assert all("lease store unreachable since 20" in text for text in alarms)

            # It serves until its deadline; then nobody does, and callers are told at once.
            await callers.until_refused()
            gap_began = callers.refusals()[0].at
            served = [act.at for act in cluster.received() if act.epoch == epoch]
            assert max(served) > away_at + TTL / 2
            assert TTL - RENEW - 0.5 < gap_began - away_at < TTL + 0.5
            assert await cluster.masters() == {(None, epoch)}
            await cluster.until_registered(late)  # a service starts all the same
            assert max(answer.took_s for answer in callers.refusals()) < 0.5

            back_at = lease_clock()  # it may serve before this program knows that it does
            await store.come_back()
            _, next_epoch = await cluster.until_master(above=epoch)
            assert await cluster.began(next_epoch) - back_at < TTL + 3.0
            await callers.until_answered(next_epoch)
            assert not [act for act in cluster.received() if gap_began + 0.1 < act.at < back_at]
            assert {answer.error for answer in callers.patient} == {""}
            await cluster.until_alarms(lambda found: not found, 5.0)
        cluster.assert_one_master_at_a_time()
        await until(lambda: "the lease store answers again" in cluster.log(master))
