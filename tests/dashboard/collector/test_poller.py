from __future__ import annotations

import asyncio

import pytest

from dashboard.collector.poller import Poller
from luabus.errors import RequestTimeout
from tests.dashboard.cluster import Clock, ScriptedCluster, looked, process


async def test_a_look_takes_in_everything() -> None:
    snapshot = (await looked(ScriptedCluster())).snapshot
    assert [(r.name, r.address, r.connected) for r in snapshot.routers] == [
        ("router.1", "127.0.0.1:7070", True),
        ("router.2", "127.0.0.1:7071", True),
    ]
    assert (len(snapshot.connections), len(snapshot.processes)) == (10, 7)
    assert snapshot.routers[0].stats is not None
    assert snapshot.routers[0].stats.undeliverable == {"no route": 3}


async def test_only_what_changed_gets_a_new_version() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    before = poller.snapshot.versions
    assert (await poller.poll()).versions == before
    cluster.processes[5] = process("mail.2", "2.2", rss_bytes=5)
    after = (await poller.poll()).versions
    assert {topic for topic in after if after[topic] != before[topic]} == {"processes"}
    cluster.processes[5] = process("mail.2", "2.2", state="failed")
    later = (await poller.poll()).versions
    assert {topic for topic in later if later[topic] != after[topic]} == {"processes", "status"}


async def test_what_does_not_answer_keeps_what_was_known() -> None:
    cluster, clock = ScriptedCluster(), Clock()
    poller = await looked(cluster, clock)
    seen = clock.at
    clock.at += 5
    cluster.up = dict.fromkeys(cluster.up, False)
    cluster.launcher = False
    snapshot = await poller.poll()
    assert [(r.connected, r.seen, len(r.groups)) for r in snapshot.routers] == [
        (False, seen, 2),
        (False, seen, 2),
    ]
    assert (len(snapshot.connections), len(snapshot.processes)) == (10, 7)
    assert snapshot.bus_error == "connection refused"
    assert str(snapshot.launcher_error) == "no launcher: control.json does not exist"


async def test_a_router_that_is_connected_but_does_not_answer_counts_as_away() -> None:
    cluster = ScriptedCluster(fails=RequestTimeout("no answer in 5 s"))
    assert not (await looked(cluster)).snapshot.routed


async def test_an_answer_of_another_shape_is_logged_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = ScriptedCluster()
    cluster.tables["router.1"] = {"router": "router.1", "groups": [{"number": 2}]}
    cluster.processes = [{"nme": "mail.1"}]
    snapshot = (await looked(cluster)).snapshot
    assert [r.connected for r in snapshot.routers] == [False, True]
    assert snapshot.launcher_error is not None
    assert "routes is not understood" in caplog.text
    assert "status is not understood" in caplog.text


async def test_who_waits_is_woken_by_its_topics_only() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    routes = asyncio.create_task(poller.changed(poller.snapshot.versions, ["routes"]))
    processes = asyncio.create_task(poller.changed(poller.snapshot.versions, ["processes"]))
    cluster.processes[5] = process("mail.2", "2.2", state="failed")
    await poller.poll()
    assert (await processes).process("mail.2").state == "failed"  # type: ignore[union-attr]
    assert not routes.done()
    cluster.up["router.2"] = False
    await poller.poll()
    assert not (await routes).routers[1].connected


async def test_one_look_serves_all_who_ask_at_once() -> None:
    cluster = ScriptedCluster()
    poller = Poller(cluster)
    await asyncio.gather(*(poller.recent() for _ in range(50)))
    assert cluster.route_requests == 1
    await poller.recent()
    assert cluster.route_requests == 1


async def test_a_reader_does_not_wait_for_a_launcher_that_hangs() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    release = asyncio.Event()

    async def hang(method: str, *args: object) -> object:
        await release.wait()
        return []

    cluster.ask = hang  # type: ignore[method-assign]
    async with asyncio.timeout(2):
        snapshot = await poller.recent(0.0)
    assert len(snapshot.processes) == 7
    release.set()
    await poller.poll()


async def test_after_a_change_a_look_that_began_before_it_does_not_do() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    before = poller.polls
    under_way = asyncio.create_task(poller.poll())
    await asyncio.sleep(0)
    await asyncio.gather(poller.after_change(), poller.after_change())
    await under_way
    assert poller.polls == before + 2


async def test_the_answer_to_a_change_does_not_wait_for_a_launcher_that_hangs() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    release = asyncio.Event()

    async def hang(method: str, *args: object) -> object:
        await release.wait()
        return []

    cluster.ask = hang  # type: ignore[method-assign]
    async with asyncio.timeout(2):
        await poller.after_change(0.05)
        await cluster.register("2.2", 0, False, "*")
        assert [slot.token for slot in (await poller.with_tables()).groups()[1].slots] == [11, 0, 13]
    release.set()
    await poller.poll()


async def test_a_change_on_the_bus_is_looked_at_at_once() -> None:
    cluster = ScriptedCluster()
    poller = Poller(cluster)
    await poller.start()
    with poller.watching():
        cluster.up["router.2"] = False
        cluster.changed()
        async with asyncio.timeout(0.9):
            snapshot = await poller.changed(poller.snapshot.versions, ["routes"])
    assert not snapshot.routers[1].connected
    await poller.stop()


async def test_finish_lets_everybody_go() -> None:
    poller = await looked(ScriptedCluster())
    waiting = asyncio.create_task(poller.changed(poller.snapshot.versions, ["routes"]))
    await asyncio.sleep(0)
    poller.finish()
    await waiting
    assert poller.stopping
