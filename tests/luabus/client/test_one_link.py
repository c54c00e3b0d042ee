"""One joined link for each router, however it is written, and two routers of one name."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import luabus
from luabus import admin
from luabus.client.bus import Bus
from luabus.client.one_link import Holders, distinct
from luabus.errors import IdInUse, NoRoute, Refused
from luabus.router.server import Router
from luabus.transport.security import Security
from tests.support.bus import GROUPS, SECRET, Instance, Star, document, joined
from tests.support.proxy import Proxy
from tests.support.waiting import until

M1 = 0x0002_0001


def warnings(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_equal_addresses_are_one_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    given = [
        ("127.0.0.1", 1),
        ("::1", 1),
        ("127.0.0.1", 1),
        ("0:0::1", 1),
        ("::ffff:127.0.0.1", 1),
        ("h", 1),
        ("H.", 1),
    ]
    assert distinct(given) == [("127.0.0.1", 1), ("::1", 1), ("h", 1)]
    (said,) = warnings(caplog, "more than once")
    assert said.endswith("connected once: 127.0.0.1:1, [0:0::1]:1, [::ffff:127.0.0.1]:1, H.:1")


@pytest.mark.parametrize(
    "again", ["127.0.0.1:{}", "localhost:{}", "balancer.test:{}", "[::ffff:127.0.0.1]:{}", "127.0.0.2:{}"]
)
async def test_a_router_named_twice_has_one_joined_link_and_no_traffic_on_the_other(
    again: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if host in ("balancer.test", "localhost") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with Star(1, host="0.0.0.0", allow_plaintext=True) as star:
        port = star.routers[0].port
        (mail,) = await star.mail(1, routers=[f"127.0.0.1:{port}", again.format(port)])
        bus = await star.client()
        links = mail.bus._links
        if len(links) == 2:
            await until(lambda: any(link.stands_by_for is not None for link in links))
        before = star.routers[0].stats()
        assert [await bus.target("mail.1").request("echo", n) for n in range(40)] == list(range(40))
        await asyncio.sleep(0.3)  # twenty take-overs a second there were
        rows = star.routers[0].connections()
        assert sorted(row["name"] for row in rows) == [
            "client.2" if len(links) == 1 else rows[-1]["name"],
            "mail.1",
        ]
        assert star.routers[0].stats()["closed"] == before["closed"]
        assert [link.name for link in mail.bus.routers] == ["router.1"]
        assert len(warnings(caplog, "stands by" if len(links) == 2 else "more than once")) == 1
        assert not warnings(caplog, "newer process")
        assert mail.bus.router(again.format(port)).name == "router.1"


async def test_the_link_that_stands_by_takes_over_when_the_first_is_lost() -> None:
    async with Star() as star, Proxy(star.routers[0]) as one, Proxy(star.routers[0]) as other:
        made = Instance("mail", 1, {"routers": [f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"]})
        async with made.service:
            links = made.bus._links
            await until(lambda: any(link.stands_by_for is not None for link in links))
            for _ in range(3):
                (up,) = made.bus.routers
                proxy = one if up is links[0] else other
                proxy.refuse()
                proxy.cut()
                await until(lambda: not up.ready)  # noqa: B023
                await until(lambda: any(link.joined for link in links))
                (now,) = [link for link in links if link.joined]
                assert now is not up
                assert star.routers[0].mgr.switch.table.where(M1) is not None
                proxy.refuse(False)
                await until(lambda: up.stands_by_for is now)  # noqa: B023


async def test_two_links_of_one_process_do_not_fight_when_the_router_comes_back() -> None:
    async with Star() as star:
        port = star.routers[0].port
        (mail,) = await star.mail(
            1, routers=[f"127.0.0.1:{port}", f"[::ffff:127.0.0.1]:{port}", f"localhost:{port}"]
        )
        for _ in range(3):
            await star.restart(1)
            await joined(mail.bus)
            await until(
                lambda: (
                    sum(link.stands_by_for is not None for link in mail.bus._links)
                    == len(mail.bus._links) - 1
                )
            )
            assert sum(link.joined for link in mail.bus._links) == 1


# --- two processes of one incarnation ----------------------------------------------------------------------------


async def test_of_two_processes_with_one_incarnation_the_one_that_has_the_id_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 5)
    async with Star(2) as star:
        (first,) = await star.mail(1)
        for _ in range(3):
            with pytest.raises(IdInUse, match="with incarnation 5; yours is 5, which is not newer"):
                await Instance("mail", 1, {"routers": star.addresses}).service.start()
        bus = await star.client()
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert all(link.joined for link in first.bus.routers)


async def test_a_process_that_comes_again_before_its_old_connection_is_missed_has_its_place() -> None:
    async with Star() as star, Proxy(star.routers[0]) as proxy:
        (mail,) = await star.mail(1, routers=[f"127.0.0.1:{proxy.port}"])
        table = star.routers[0].mgr.switch.table
        before = table.where(M1)
        (link,) = mail.bus.routers
        proxy.stall()  # the router hears nothing of the end
        assert link.stream is not None
        link.stream.close()
        await until(lambda: not link.ready)
        link.port = star.routers[0].port
        await until(lambda: link.joined)
        assert table.where(M1) not in (None, before)
        assert before is not None
        await until(lambda: before.is_closed)


# --- two routers of one name -------------------------------------------------------------------------------------


async def test_two_routers_of_one_name_are_an_alarm_and_their_links_stay_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options: dict[str, Any] = {"secret": SECRET, "cluster": document(), "port": 0, "heartbeat_s": 0.05}
    bus = Bus()
    async with Router("router.1", **options) as one, Router("router.1", **options) as other:
        addresses = [f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"]
        await bus.start(addresses, groups=GROUPS, security=Security.of(SECRET), heartbeat_s=0.05)
        await until(lambda: one.stats()["alarms"] and other.stats()["alarms"])
        for router in (one, other):
            (alarm,) = router.stats()["alarms"]
            assert (alarm["kind"], alarm["code"]) == ("names", "alarm.two-routers-one-name")
            assert alarm["values"] == {"router": "router.1"}
        assert [link.ready for link in bus.routers] == [True, True]
        with pytest.raises(
            Refused, match=r"two routers are both named router\.1, at 127\.0\.0\.1:\d+, 127.*by its address"
        ):
            bus.router("router.1")
        assert len({(await bus.router(at).request("luabus.stats"))["address"] for at in addresses}) == 2
        assert sorted(row["address"] for row in await admin.stats(bus)) == sorted(addresses)
        assert len(await admin.connections(bus)) == 2
        assert (await admin.routes(bus))["consistent"] is False
        assert len(warnings(caplog, "two routers are both named router.1: at ")) == 1
        await other.stop(0.0)
        await until(lambda: sum(link.ready for link in bus.routers) == 1)
        (link,) = [link for link in bus.routers if link.ready]
        assert link.address == addresses[0]
        assert (await admin.routes(bus))["consistent"] is True
        assert (await bus.router("router.1").request("luabus.stats"))["address"] == addresses[0]
    await bus.close()


async def test_a_router_that_was_started_again_is_no_namesake_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Star(2) as star:
        await star.mail(1)
        await star.restart(1)
        await star.client()
        await asyncio.sleep(0.2)
        assert [router.stats()["alarms"] for router in star.routers] == [[], []]
        assert not warnings(caplog, "both named")


def test_a_router_that_is_silent_or_stops_is_no_namesake() -> None:
    class Link:
        def __init__(self, address: str, incarnation: int) -> None:
            self.name, self.address, self.identity = "router.1", address, ("router.1", incarnation)
            self.draining, self.up_since, self.heard = False, 10.0, 11.0

        def was_alive_at(self, moment: float) -> bool:
            return self.heard > moment

    one, other, double = Link("a:1", 1), Link("b:1", 2), Link("c:1", 1)
    links = [one, other, double]
    holders = Holders()
    assert holders.namesake(one, links) is other
    other.up_since = 11.5  # of `one` nothing was heard since: it may be gone
    assert holders.namesake(one, links) is None
    one.heard = other.heard = double.heard = 12.0
    assert holders.namesake(one, links) is other
    other.draining = True
    assert holders.namesake(one, links) is None
    assert holders.namesake(other, links) is None


# --- IPv6 --------------------------------------------------------------------------------------------------------


async def test_ipv6_is_written_with_brackets_everywhere() -> None:
    async with Star(1, host="::1") as star:
        router = star.routers[0]
        at = f"[::1]:{router.port}"
        async with luabus.connect([at], secret=SECRET) as bus:
            (link,) = bus.routers
            assert (link.address, link.snapshot()["address"], router.stats()["address"]) == (at, at, at)
            (row,) = router.connections()
            assert row["peer"].startswith("[::1]:")
            for written in (at, f"[0:0:0:0:0:0:0:1]:{router.port}"):
                assert (await bus.router(written).request("luabus.stats"))["router"] == "router.1"
            with pytest.raises(NoRoute, match="there is no router '::1'"):
                bus.router("::1")

        def ask() -> Any:
            with luabus.Conversation("::1", router.port, SECRET) as peer:
                return peer.request("luabus.stats")

        assert (await asyncio.to_thread(ask))["address"] == at
        await until(lambda: len(router.stats()["closed"]) == 2)
        assert all(row["peer"].startswith("[::1]:") for row in router.stats()["closed"])
    with pytest.raises(luabus.NotConnected, match=r"\[::1\]:1: Connection refused"):
        await luabus.connect(["[::1]:1"], timeout=0.3)
    with pytest.raises(luabus.NotConnected, match=r"\[::1\]:1"):
        luabus.Conversation("::1", 1)
    with pytest.raises(OSError, match=r"cannot listen at \[::2\]:1: "):
        luabus.create_socket_mgr(1).listen("::2", 1)
