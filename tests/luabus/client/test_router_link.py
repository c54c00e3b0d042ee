"""A link keeps itself up: greeting, connecting again, and what breaks it."""

from __future__ import annotations

import asyncio

import pytest

from luabus.client.bus import Bus
from luabus.errors import RequestTimeout
from luabus.protocol.principal import Principal
from luabus.transport.manager import SocketMgr
from luabus.transport.security import Security
from tests.support.bus import SECRET, Star, joined
from tests.support.proxy import Proxy
from tests.support.waiting import until


async def test_a_link_that_is_cut_connects_again_and_registers_again() -> None:
    async with Star() as star, Proxy(star.routers[0]) as proxy:
        (mail,) = await star.mail(1, routers=[f"127.0.0.1:{proxy.port}"])
        router = star.routers[0]
        for _ in range(3):
            before = router.mgr.switch.table.where(0x0002_0001)
            proxy.cut()
            await until(lambda: router.mgr.switch.table.where(0x0002_0001) not in (None, before))  # noqa: B023
            await joined(mail.bus)
        bus = await star.client()
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert proxy.connections == 4


async def test_the_snapshot_says_how_it_is() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        (link,) = mail.bus.routers
        shown = link.snapshot()
        assert {key: shown[key] for key in ("router", "address", "connected", "joined", "draining", "error")} == {
            "router": "router.1", "address": star.addresses[0], "connected": True, "joined": True, "draining": False,
            "error": None,
        }  # fmt: skip
        assert 0 < shown["rtt_ms"] < 1000
        assert repr(link) == "<Link router.1 up>"
        await star.routers[0].stop(0.0)
        await until(lambda: not link.ready)
        assert link.snapshot()["error"]
        assert repr(link) == "<Link router.1 down>"


async def test_one_that_accepts_and_does_not_greet_is_no_router(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luabus.client.router_link._CONNECT_TIMEOUT_MS", 100)
    mgr = SocketMgr(10, security=Security.of(SECRET, Principal("router", "router.1")))
    listener = mgr.listen("127.0.0.1", 0)
    bus = Bus()
    await bus.start([f"127.0.0.1:{listener.port}"], security=Security.of(SECRET))
    (link,) = bus.routers
    await until(lambda: isinstance(link.last_error, RequestTimeout))
    assert "accepted the connection and did not greet" in str(link.last_error)
    assert not link.ready
    await bus.close()
    await mgr.close()


async def test_another_secret_is_tried_again_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with Star() as star:
        bus = Bus()
        await bus.start(star.addresses, security=Security.of(b"quite another secret"))
        await until(lambda: len(star.routers[0].stats()["closed"]) >= 2)
        await bus.close()
    assert (
        len([r for r in caplog.records if r.name == "luabus.link" and "the peer's secret" in r.message]) == 1
    )


async def test_a_garbling_network_breaks_the_link_and_it_comes_back() -> None:
    async with Star() as star, Proxy(star.routers[0]) as proxy:
        bus = Bus()
        await bus.start([f"127.0.0.1:{proxy.port}"], security=Security.of(SECRET))
        await bus.ready()
        proxy.change = lambda data: bytes(len(data))
        bus.preferred.call("luabus.ping")  # type: ignore[union-attr]
        await until(lambda: bus.preferred is None)
        assert "unknown frame kind 0" in str(bus.routers[0].last_error)
        proxy.change = None
        await bus.ready()
        await bus.close()


async def test_a_closed_bus_tries_no_more() -> None:
    async with Star() as star, Proxy(star.routers[0]) as proxy:
        bus = Bus()
        await bus.start([f"127.0.0.1:{proxy.port}"], security=Security.of(SECRET))
        await bus.ready()
        await bus.close()
        await asyncio.sleep(0)
        assert proxy.connections == 1
        assert not [task for task in asyncio.all_tasks() if "luabus link" in task.get_name()]
