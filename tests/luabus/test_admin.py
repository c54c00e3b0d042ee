"""What an administrator asks and does, over all routers."""

from __future__ import annotations

import asyncio

import pytest

from luabus import admin
from luabus.errors import NotConnected, Refused, RequestTimeout
from luabus.ids import CLIENT_BASE
from tests.support.bus import Star, prefers
from tests.support.waiting import until


async def test_routes_of_all_routers_and_whether_they_agree() -> None:
    async with Star(2) as star:
        await star.mail()
        bus = await star.client()
        shown = await admin.routes(bus)
        assert shown["consistent"] is True
        assert [each["router"] for each in shown["routers"]] == ["router.1", "router.2"]
        star.routers[1].mgr.switch.table.vacate(0x0002_0001)
        shown = await admin.routes(bus)
        assert shown["consistent"] is False


async def test_connections_of_all_routers() -> None:
    async with Star(2) as star:
        await star.mail(1)
        bus = await star.client()
        rows = await admin.connections(bus)
        assert sorted((row["router"], row["name"].split(".")[0]) for row in rows) == [
            ("router.1", "client"), ("router.1", "mail"), ("router.2", "client"), ("router.2", "mail"),
        ]  # fmt: skip
        (preferred,) = [
            row["router"] for row in rows if row["name"].startswith("client") and row["preferred"]
        ]
        assert preferred == prefers(bus)


async def test_stats_of_all_routers() -> None:
    async with Star(2) as star:
        bus = await star.client()
        rows = await admin.stats(bus)
        assert [row["router"] for row in rows] == ["router.1", "router.2"]
        assert {"pid", "uptime_s", "connections", "undeliverable", "alarms", "closed", "address"} <= rows[
            0
        ].keys()


async def test_a_router_that_is_away_is_left_out() -> None:
    async with Star(2) as star:
        bus = await star.client()
        await star.routers[0].stop(0.0)
        await until(lambda: not bus.routers[0].ready)
        shown = await admin.routes(bus)
        assert [each["router"] for each in shown["routers"]] == ["router.2"]
        await star.routers[1].stop(0.0)
        await until(lambda: bus.preferred is None)
        for ask in (admin.routes, admin.stats, admin.connections):
            with pytest.raises(NotConnected, match=r"no router answers"):
                await ask(bus)
        with pytest.raises(NotConnected, match="no router is connected"):
            await admin.register(bus, "mail.1", 0)


async def test_register_at_all_routers() -> None:
    async with Star(2) as star:
        await star.mail()
        bus = await star.client()
        assert await admin.register(bus, "mail.1", 0) == {"router.1": "done", "router.2": "done"}
        assert all(router.mgr.switch.table.where(0x0002_0001) is None for router in star.routers)
        await admin.register(bus, "mail.1", "own", is_master=True)
        assert all(router.mgr.switch.table.group(2).master == 0x0002_0001 for router in star.routers)
        await admin.register(bus, "mail.1", None)
        assert all(0x0002_0001 not in router.mgr.switch.table.group(2).entries for router in star.routers)
        assert (await admin.routes(bus))["consistent"] is True


async def test_register_at_one_router() -> None:
    async with Star(2) as star:
        await star.mail(1)
        bus = await star.client()
        assert await admin.register(bus, "mail.1", 0, router="router.2") == {"router.2": "done"}
        assert [router.mgr.switch.table.where(0x0002_0001) is None for router in star.routers] == [
            False,
            True,
        ]


async def test_removing_what_is_not_there_is_no_error() -> None:
    async with Star(2) as star:
        await star.mail(4)  # outside of the configured slots
        bus = await star.client()
        await admin.register(bus, "mail.4", None, router="router.1")
        assert await admin.register(bus, "mail.4", None) == {
            "router.1": admin.NOTHING,
            "router.2": admin.DONE,
        }
        both = {"router.1": admin.NOTHING, "router.2": admin.NOTHING}
        assert await admin.register(bus, "mail.4", None) == both


async def test_register_tells_which_routers_did_not_answer() -> None:
    async with Star(2) as star:
        await star.mail(1)
        bus = await star.client()
        hang = asyncio.Event()
        star.routers[0].api.word(lambda *args: hang.wait(), "luabus.register")
        done = await admin.register(bus, "mail.1", 0, timeout=0.2)
        assert done == {"router.1": admin.LATE, "router.2": admin.DONE}
        with pytest.raises(RequestTimeout):
            await admin.register(bus, "mail.1", 0, router="router.1", timeout=0.2)
        star.routers[1].api.word(refuse, "luabus.register")
        with pytest.raises(Refused, match=r"not today|router\.1"):
            await admin.register(bus, "mail.1", 0, timeout=0.2)
        hang.set()
        await star.routers[0].stop(0.0)
        await until(lambda: not bus.routers[0].ready)
        star.routers[1].api.word(lambda *args: None, "luabus.register")
        done = await admin.register(bus, "mail.1", 0)
        assert done == {"router.1": admin.AWAY, "router.2": admin.DONE}


def refuse(*args: object) -> None:
    raise Refused("not today")


async def test_a_token_that_names_different_peers_is_refused_and_nothing_is_changed() -> None:
    async with Star(2) as star:
        await star.mail(1)
        token = star.routers[0].connections()[0]["token"]
        await star.restart(2)
        bus = await star.client()
        await until(lambda: len(star.routers[1].connections()) == 2)
        here, there = ({row["token"]: row["name"] for row in r.connections()} for r in star.routers)
        if here.get(token) == there.get(token):
            assert set(await admin.register(bus, "mail.2", token)) == {"router.1", "router.2"}
            token = 99
        with pytest.raises(
            Refused, match=rf"token {token} is not the same connection everywhere|is nobody's"
        ):
            await admin.register(bus, "mail.3", token)
        assert all(router.mgr.switch.table.where(0x0002_0003) is None for router in star.routers)


@pytest.mark.parametrize("service_id", ["0.1", 0x0000_0001, CLIENT_BASE | 3, "mial.1", "2.0", "2"])
async def test_an_id_that_cannot_be_registered_is_refused(service_id: int | str) -> None:
    async with Star() as star:
        bus = await star.client()
        with pytest.raises(Refused):
            await admin.register(bus, service_id, 0)


async def test_an_unknown_router_is_refused_with_the_closest_one() -> None:
    async with Star(2) as star:
        bus = await star.client()
        with pytest.raises(Refused, match=r"there is no router 'ruoter\.1'; did you mean 'router\.1'"):
            await admin.register(bus, "mail.1", 0, router="ruoter.1")
        with pytest.raises(
            Refused, match=r"there is no router 'x'; there are: router\.1, router\.2, or '\*' for all"
        ):
            await admin.close_connection(bus, "x", 1)


async def test_close_a_connection() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        (row,) = [row for row in await admin.connections(bus) if row["name"] == "mail.1"]
        assert await admin.close_connection(bus, "router.1", row["token"]) == "mail.1"
        await until(
            lambda: any(
                c["reason"] == "closed by an administrator" for c in star.routers[0].stats()["closed"]
            )
        )
        await until(lambda: mail.bus.routers[0].joined)  # it comes back by itself
        with pytest.raises(Refused, match="no connection with token 9999"):
            await admin.close_connection(bus, "router.1", 9999)


async def test_promote_in_a_group_that_elects_no_master_is_refused() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        with pytest.raises(
            Refused, match=r"group mail elects no master; register mail\.1 as its master instead"
        ):
            await admin.promote(bus, "mail.1")
