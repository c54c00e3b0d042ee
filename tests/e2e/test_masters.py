"""Masters end to end: real routers, services and callers, while processes are killed, frozen, stopped and promoted.

The assertions are made from what the receivers wrote down: the recorder whom masters tell what they do, and the callers.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from luabus import admin
from luabus.lease.candidate import lease_clock
from tests.support.lease_servers import SqliteFile
from tests.support.master_cluster import CLEAN_STOP_S, TAKE_OVER_S, Callers, MasterCluster, look_until
from tests.support.waiting import until

AT_ONCE_S = 0.5  # a machine that does other things as well; the time-out is 1 s, the gap longer than 2 s


@pytest.fixture
def lease(tmp_path: Path) -> str:
    return SqliteFile(tmp_path).url


async def test_the_master_is_killed(tmp_path: Path, lease: str) -> None:
    async with MasterCluster(tmp_path, lease) as cluster, Callers(cluster) as callers:
        master, epoch = await cluster.until_master()
        killed_at = cluster.send_signal(master, signal.SIGKILL)
        await cluster.until_tables(lambda found: found == {(None, epoch)}, "no master anywhere")
        gap_began = lease_clock()
        await callers.until_refused()
        successor, next_epoch = await cluster.until_master(above=epoch)
        seen_at = lease_clock()
        began = await cluster.began(next_epoch)
        assert successor != master
        assert began - killed_at < TAKE_OVER_S
        assert seen_at - began < 1.0
        await callers.until_answered(next_epoch)

        in_gap = callers.between(gap_began, began - 0.1)
        assert {answer.error for answer in in_gap} == {"NoMaster"}
        assert max(answer.took_s for answer in in_gap) < AT_ONCE_S
        # Those who wait lose only what was in flight when the process died; somebody waited through the gap.
        assert {answer.error for answer in callers.patient} <= {"", "PeerLost"}
        assert sum(bool(answer.error) for answer in callers.patient) <= 2
        assert max(answer.took_s for answer in callers.patient) > began - gap_began - 0.5

        cluster.start(master)  # comes back, and finds another master
        await cluster.until_registered(master)
        await callers.until_answered(next_epoch, 50)
        assert await cluster.masters() == {(successor, next_epoch)}
    cluster.assert_one_master_at_a_time()


async def test_the_master_is_frozen_for_longer_than_its_lease(tmp_path: Path, lease: str) -> None:
    """After SIGCONT it handles nothing of what has waited for it, and nobody obeys what it had yet to send."""
    async with MasterCluster(tmp_path, lease) as cluster, Callers(cluster) as callers:
        master, epoch = await cluster.until_master()
        stopped_at = cluster.send_signal(master, signal.SIGSTOP)
        _, next_epoch = await cluster.until_master(above=epoch)
        assert await cluster.began(next_epoch) - stopped_at < TAKE_OVER_S
        continued_at = cluster.send_signal(master, signal.SIGCONT)
        stepped_back = [(master, "on_slave")]
        await until(
            lambda: (
                [(a.source, a.what) for a in cluster.done() if a.at > continued_at and a.source == master]
                == stepped_back
            ),
            what="on_slave in the one that was frozen",
        )
        await cluster.until_registered(master)
        await cluster.bus.target(master).request("lie", epoch)

        async def refused() -> int:
            rows = [row for row in await admin.connections(cluster.bus) if row["name"] == master]
            return sum(row["undeliverable"].get("stale_epoch", 0) for row in rows)

        await look_until(
            refused, lambda found: found == 1, 10.0, "what a master of the past says goes nowhere"
        )
        await callers.until_answered(next_epoch, 20)
        assert not [text for text in await cluster.alarms() if "epoch" in text]
        old = [act for act in cluster.done() if act.epoch == epoch and act.at > stopped_at + 0.2]
        told = [act for act in cluster.received() if act.epoch == epoch and act.at > continued_at]
        assert old == told == []
        assert "lie" not in {act.what for act in cluster.received()}
    cluster.assert_one_master_at_a_time()


async def test_stopped_and_promoted_while_routers_restart(tmp_path: Path, lease: str) -> None:
    async with MasterCluster(tmp_path, lease) as cluster, Callers(cluster) as callers:
        master, epoch = await cluster.until_master()
        stopped_at = cluster.send_signal(master, signal.SIGTERM)
        second, epoch_two = await cluster.until_master(above=epoch)
        assert await cluster.began(epoch_two) - stopped_at < CLEAN_STOP_S
        assert await cluster.until_ended(master) == 0
        cluster.start(master)
        await cluster.until_registered(master)
        await callers.until_answered(epoch_two)

        asked_at = lease_clock()
        done = await admin.promote(cluster.bus, master, by="ann")
        assert lease_clock() - asked_at < CLEAN_STOP_S
        assert done == {"master": f"1.{master[-1]}", "epoch": epoch_two + 1, "changed": True}
        assert await cluster.masters() == {(master, epoch_two + 1)}  # at every router, when `promote` returns
        assert f"hands mastership over to 1.{master[-1]} for ann" in cluster.log(second)
        again = await admin.promote(cluster.bus, master)
        assert again == {**done, "changed": False}
        await callers.until_answered(epoch_two + 1)

        # No router's end is a reason for another master; and what restarts knows the epoch again.
        for router, how in (("router.1", signal.SIGTERM), ("router.2", signal.SIGKILL)):
            cluster.send_signal(router, how)
            await cluster.until_ended(router)
            await callers.until_answered(epoch_two + 1)
            cluster.start(router)
            await until(lambda: all(link.connected for link in cluster.bus.routers))
            tables = await cluster.until_tables(lambda found: len(found) == 1, "the routers agree", 3.0)
            assert tables == {(master, epoch_two + 1)}
        for router in ("router.1", "router.2"):
            cluster.send_signal(router, signal.SIGKILL)
            await cluster.until_ended(router)
        for router in ("router.1", "router.2"):
            cluster.start(router)
        await until(lambda: all(link.connected for link in cluster.bus.routers))
        await callers.until_answered(epoch_two + 1)
        assert await cluster.until_master(above=epoch_two) == (master, epoch_two + 1)
        await cluster.until_registered(second)

        promoted_at = lease_clock()
        done = await admin.promote(cluster.bus, second)
        assert lease_clock() - promoted_at < CLEAN_STOP_S
        await callers.until_answered(done["epoch"])
    cluster.assert_one_master_at_a_time()
