"""What the launcher hears of the routers, from a real one."""

from __future__ import annotations

import asyncio

import luabus
from launcher.supervision.bus_presence import BusWatch, Presence
from tests.support.ports import free_ports
from tests.support.waiting import until

SECRET = b"s" * 32


def test_presence() -> None:
    assert Presence(2, 2).everywhere
    assert not Presence(1, 2).everywhere
    assert not Presence(0, 0).everywhere
    assert not Presence(0, 0).nowhere  # unknown is not nowhere
    assert Presence(0, 1).nowhere


async def test_routers_and_services_come_and_go() -> None:
    port = free_ports()
    changes = asyncio.Event()
    watch = BusWatch([f"127.0.0.1:{port}"], {"mail": 2}, luabus.Security.of(SECRET), changes.set)
    await watch.start()
    assert watch.presence(2, 1) == Presence(0, 0)
    assert await watch.counted() == ({}, ())
    assert [router.connected for router in watch.snapshot("demo").routers] == [False]
    router = luabus.Router("router.1", port=port, secret=SECRET)
    await router.start()
    await until(lambda: watch.connected == {"router.1"})
    service = luabus.Service("mail", group=2, instance=1, routers=[f"127.0.0.1:{port}"], secret=SECRET)
    await service.start()
    await until(lambda: watch.presence(2, 1).everywhere)
    assert watch.presence(2, 2).nowhere
    assert watch.masters()[2]["master"] is None
    assert changes.is_set()
    stats, connections = await watch.counted()
    assert (list(stats), stats["router.1"].alarms) == (["router.1"], ())
    assert "mail.1" in [row.name for row in connections]
    (seen,) = watch.snapshot("demo").routers
    assert (seen.name, seen.connected, [group.name for group in seen.groups]) == ("router.1", True, ["mail"])
    await service.stop()
    await until(lambda: watch.presence(2, 1).nowhere)
    stopped = asyncio.ensure_future(router.stop(0.0))
    await until(lambda: not watch.connected)
    await stopped
    assert watch.presence(2, 1) == Presence(0, 0)
    await watch.close()


def test_at_equal_epochs_the_router_that_names_a_master_is_believed() -> None:
    for order in ((None, "3.1"), ("3.1", None)):
        watch = BusWatch([], {"director": 3}, luabus.Security.of(SECRET), lambda: None)
        for number, master in enumerate(order, 1):
            watch._router(f"router.{number}", True)
            watch._group(
                f"router.{number}",
                {"group": 3, "name": "director", "master": master, "epoch": 5, "slots": []},
            )
        assert watch.masters() == {3: {"master": "3.1", "epoch": 5}}
        watch._group("router.2", {"group": 3, "name": "director", "master": None, "epoch": 6, "slots": []})
        assert watch.masters() == {3: {"master": None, "epoch": 6}}


def test_since_when_a_master_is_missing() -> None:
    watch = BusWatch(["a:1"], {"director": 3}, luabus.Security.of(SECRET), lambda: None)
    watch._router("router.1", True)
    slots = [{"service_id": "3.1", "name": "director.1", "token": 5}]
    group = {"group": 3, "name": "director", "mode": "master", "elected": True, "epoch": 5, "slots": slots}
    watch._group("router.1", {**group, "master": None})
    first = watch.snapshot("demo")
    assert watch.snapshot("demo").since == {"masterless.3": first.at}
    watch._group("router.1", {**group, "master": "3.1"})
    assert watch.snapshot("demo").since == {}
