"""One process' way onto the bus: the preferred router, its loss, orderly changes, what routers tell."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import luabus
from luabus.client.bus import Bus
from luabus.errors import ConfigError, NoRoute, NotConnected, Overloaded, RequestTimeout, RouterLost
from luabus.transport.security import Security
from tests.support.bus import GROUPS, SECRET, Star, prefers
from tests.support.fast_time import run_fast
from tests.support.hostile import Abort
from tests.support.proxy import Proxy
from tests.support.waiting import until


async def both(star: Star) -> tuple[Bus, str, str]:
    """A client of both routers, the name of the one it forwards through, and the other's."""
    bus = await star.client()
    preferred = prefers(bus)
    return bus, preferred, next(link.name for link in bus.routers if link.name != preferred)


def number(name: str) -> int:
    return int(name.removeprefix("router."))


# --- the preferred router -------------------------------------------------------------------------------------


async def test_connects_to_all_routers_and_forwards_through_one() -> None:
    async with Star(3) as star:
        await star.mail(1)
        bus = await star.client()
        assert [link.connected for link in bus.routers] == [True] * 3
        assert sorted(link.name for link in bus.routers) == ["router.1", "router.2", "router.3"]
        for _ in range(20):
            await bus.random("mail").request("who")
        through = {
            router.name: sum(
                row["messages_in"] for row in router.connections() if row["service_id"].startswith("client")
            )
            for router in star.routers
        }
        assert sorted(through.values())[:2] <= [2, 2]  # joining and the like
        assert through[prefers(bus)] >= 20


async def test_the_preferred_router_does_not_change_because_another_one_appears() -> None:
    async with Star(2) as star:
        bus, preferred, other = await both(star)
        for _ in range(3):
            await star.restart(number(other))
            await until(lambda: all(link.ready for link in bus.routers))
            assert prefers(bus) == preferred


async def test_a_lost_router_is_router_lost_at_once_and_the_next_request_goes_through_another() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, preferred, other = await both(star)
        task = asyncio.create_task(bus.target("mail.1").request("wait", timeout=None))
        assert await mail.events.get() == "started"
        await star.routers[number(preferred) - 1].mgr.close()
        with pytest.raises(
            RouterLost, match=f"{preferred} was lost while the request was in flight"
        ) as caught:
            await task
        lost_at = time.monotonic()
        assert caught.value.peer == preferred
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert time.monotonic() - lost_at < 0.2
        assert prefers(bus) == other


async def test_a_request_that_was_lost_with_its_router_is_not_sent_again() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, preferred, _ = await both(star)
        task = asyncio.create_task(bus.target("mail.1").request("wait", timeout=None))
        assert await mail.events.get() == "started"
        lost_at = time.monotonic()
        await star.routers[number(preferred) - 1].mgr.close()
        with pytest.raises(RouterLost):
            await task
        assert time.monotonic() - lost_at < 1.0
        assert await mail.events.get() == "cancelled"
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert mail.service.handlers.methods["wait"].stats.calls == 1


async def test_order_is_kept_from_the_loss_on() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, preferred, _ = await both(star)
        for index in range(200):
            bus.target("mail.1").send("note", index)
            if index == 100:
                await star.routers[number(preferred) - 1].mgr.close()
                await until(lambda: prefers(bus) != preferred)
            await asyncio.sleep(0)
        await until(lambda: mail.notes[-1:] == [199])
        assert mail.notes == sorted(set(mail.notes))
        assert mail.notes[-99:] == list(range(101, 200))


async def test_a_router_that_comes_back_is_connected_again_with_all_that_were_registered() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, preferred, other = await both(star)
        fresh = await star.restart(number(other))
        await until(lambda: fresh.mgr.switch.table.where(0x0002_0001) is not None)
        await until(lambda: all(link.ready for link in bus.routers))
        await star.routers[number(preferred) - 1].mgr.close()
        await until(lambda: prefers(bus) == other)
        assert await bus.hash("mail", 1).request("who") == "mail.1"
        assert mail.notes == []


async def test_with_no_router_left_everything_is_not_connected_at_once_and_says_why() -> None:
    async with Star(2) as star:
        await star.mail(1)
        bus, _, _ = await both(star)
        for router in star.routers:
            await router.stop(0.0)
        await until(lambda: bus.preferred is None)
        for use in (
            bus.target("mail.1").request,
            bus.broadcast("mail").gather,
            bus.broadcast("mail").publish,
        ):
            with pytest.raises(NotConnected, match=r"no router is connected \(router\.") as caught:
                await use("who")
            assert list(caught.value.routers) == star.addresses
        with pytest.raises(NotConnected):
            bus.target("mail.1").send("who")
        with pytest.raises(NotConnected, match=r"router\.1 is not connected"):
            await bus.router("router.1").request("luabus.routes")


async def test_a_router_that_freezes_is_lost_by_its_heartbeats() -> None:
    async with Star(1) as star, Proxy(star.routers[0]) as proxy:
        bus = Bus()
        await bus.start([f"127.0.0.1:{proxy.port}"], security=Security.of(SECRET), heartbeat_s=0.05)
        await bus.ready()
        proxy.stall()
        started = time.monotonic()
        await until(lambda: bus.preferred is None)
        assert time.monotonic() - started < 2.0
        assert "nothing was received for 175 ms" in str(bus.routers[0].last_error)
        proxy.go_on()
        await bus.ready()
        await bus.close()


# --- an orderly change: the router says that it stops ---------------------------------------------------------


async def test_draining_keeps_the_order_of_several_senders_and_loses_nothing() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        senders = [await star.client() for _ in range(4)]
        going = number(prefers(senders[0]))
        stopped = asyncio.Event()

        async def send(index: int, bus: Bus) -> int:
            count = 0
            while not stopped.is_set() or count < 500:
                if count % 10:
                    await bus.target("mail.1").send("note", [index, count])
                else:
                    assert await bus.target("mail.1").request("note", [index, count]) is None
                count += 1
                await asyncio.sleep(0)
            return count

        tasks = [asyncio.create_task(send(index, bus)) for index, bus in enumerate(senders)]
        await mail.noted(100)
        await star.routers[going - 1].stop(10.0)
        stopped.set()
        counts = await asyncio.gather(*tasks)
        await until(lambda: len(mail.notes) == sum(counts))
        for index, count in enumerate(counts):
            assert [n for sender, n in mail.notes if sender == index] == list(range(count))
        assert {number(prefers(bus)) for bus in senders} == {3 - going}


async def test_requests_in_flight_finish_before_a_draining_router_goes() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        go_on = asyncio.Event()
        mail.service.rpc(go_on.wait, name="hold")
        bus, preferred, other = await both(star)
        task = asyncio.create_task(bus.target("mail.1").request("hold"))
        await until(lambda: mail.service.handlers.running)
        stopping = asyncio.create_task(star.routers[number(preferred) - 1].stop(10.0))
        await until(lambda: prefers(bus) == other)
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert not stopping.done()
        go_on.set()
        assert await task is True
        await stopping


async def test_a_router_that_stops_waits_for_those_whose_other_router_is_just_coming_back() -> None:
    async with Star(2) as star:
        await star.mail(1)
        bus, preferred, other = await both(star)
        port = star.routers[number(other) - 1].port
        await star.routers[number(other) - 1].stop(10.0)
        await until(lambda: not any(link.ready for link in bus.routers if link.name != preferred))
        stopping = asyncio.create_task(star.routers[number(preferred) - 1].stop(10.0))
        await until(lambda: any(link.draining for link in bus.routers))
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert not stopping.done()
        async with star.router(number(other), port):
            await stopping
            assert await bus.target("mail.1").request("who") == "mail.1"


def test_a_router_that_stops_waits_for_a_router_that_does_not_come_back_for_five_seconds() -> None:
    async def main() -> None:
        async with Star(2) as star:
            await star.mail(1)
            _, preferred, other = await both(star)
            await star.routers[number(other) - 1].stop(0.0)
            started = time.monotonic()
            await star.routers[number(preferred) - 1].stop()
            assert time.monotonic() - started == pytest.approx(5.0, abs=0.1)

    run_fast(main())


async def test_the_only_router_stops_within_its_time() -> None:
    async with Star(1) as star:
        await star.mail(1)
        bus = await star.client()
        started = time.monotonic()
        await star.routers[0].stop(0.5)
        assert time.monotonic() - started < 2.0
        await until(lambda: bus.preferred is None)


async def test_what_is_sent_during_the_change_is_kept_within_the_buffer() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, preferred, other = await both(star)
        star.routers[number(preferred) - 1]._announcer.tell(
            next(s for s in star.routers[number(preferred) - 1]._open_streams() if s.id > 0xFF00_0000),
            "luabus.draining", preferred,
        )  # fmt: skip
        await until(lambda: bus.preferred is None or prefers(bus) == other)
        for index in range(50):
            bus.target("mail.1").send("note", index)
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert mail.notes == list(range(50))


async def begin_to_change(star: Star, bus: Bus, flushed: asyncio.Event) -> asyncio.Task[None]:
    """The preferred router stops, and confirms that everything has arrived when `flushed` is set; the change has begun."""
    old = star.routers[number(prefers(bus)) - 1]

    async def flush() -> None:
        await flushed.wait()
        await old.flush()

    old.api.word(flush, "luabus.flush")
    stopping = asyncio.create_task(old.stop())
    await until(lambda: bus.preferred is None)
    return stopping


async def test_what_is_sent_during_the_change_is_held_until_the_old_router_has_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luabus.client.failover._SWITCH_TIMEOUT_S", 30.0)
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, _, other = await both(star)
        flushed = asyncio.Event()
        for index in range(50):
            bus.target("mail.1").send("note", index)
        stopping = await begin_to_change(star, bus, flushed)
        for index in range(50, 100):
            bus.target("mail.1").send("note", index)
        asking = asyncio.create_task(bus.target("mail.1").request("who"))
        await mail.noted(50)
        address = star.addresses[number(other) - 1]
        async with luabus.connect([address], secret=SECRET, groups=GROUPS) as beside:
            assert await beside.target("mail.1").request("who") == "mail.1"
        assert mail.notes == list(range(50))
        assert not asking.done()
        flushed.set()
        assert await asking == "mail.1"
        assert mail.notes == list(range(100))
        await stopping


async def test_requests_and_one_way_messages_keep_their_order_together_across_the_change() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, flushed = await star.client(), asyncio.Event()
        route = bus.target("mail.1")
        stopping = await begin_to_change(star, bus, flushed)
        tasks: list[asyncio.Task[Any]] = []
        for index in range(100):
            if index == 60:
                flushed.set()
            if index % 3 == 0:
                route.send("note", index)
            elif index % 3 == 1:
                tasks.append(asyncio.create_task(route.request("note", index)))
            else:
                tasks.append(asyncio.create_task(bus.broadcast("mail").publish("note", index)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert await mail.noted(100) == list(range(100))
        await stopping


async def test_a_request_that_is_held_ends_with_its_time_out_or_its_task_and_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luabus.client.failover._SWITCH_TIMEOUT_S", 30.0)
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, flushed = await star.client(), asyncio.Event()
        stopping = await begin_to_change(star, bus, flushed)
        cancelled = asyncio.create_task(bus.target("mail.1").request("note", 1))
        for use in (bus.target("mail.1").request, bus.broadcast("mail").gather):
            with pytest.raises(RequestTimeout, match=r"within 0\.02 s"):
                await use("note", 1, timeout=0.02)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        asking = asyncio.create_task(bus.target("mail.1").request("who"))
        flushed.set()
        assert await asking == "mail.1"
        assert mail.notes == []
        await stopping


async def test_what_is_held_during_the_change_is_limited_to_half_of_the_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luabus.client.failover._SWITCH_TIMEOUT_S", 30.0)
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        bus, flushed = await star.client(), asyncio.Event()
        stopping = await begin_to_change(star, bus, flushed)
        fit = (4 << 20) // 100_051
        for _ in range(fit):
            bus.target("mail.1").send("note", bytes(100_000))
        with pytest.raises(Overloaded) as caught:
            bus.target("mail.1").send("note", bytes(100_000))
        assert (caught.value.what, caught.value.limit) == ("bytes held", 4 << 20)
        flushed.set()
        await mail.noted(fit)
        await stopping


def test_an_old_router_that_confirms_nothing_holds_the_sender_up_for_two_seconds() -> None:
    async def main() -> None:
        async with Star(2) as star:
            await star.mail(1)
            bus, flushed = await star.client(), asyncio.Event()
            stopping = await begin_to_change(star, bus, flushed)
            started = time.monotonic()
            assert await bus.target("mail.1").request("who") == "mail.1"
            assert time.monotonic() - started == pytest.approx(2.0, abs=0.1)
            await stopping

    run_fast(main())


# --- what routers tell ----------------------------------------------------------------------------------------


async def test_coming_and_going_routers_are_told() -> None:
    async with Star(2) as star:
        bus = await star.client()
        told: list[tuple[str, bool]] = []
        bus.on_router(lambda name, connected: told.append((name, connected)))
        await star.restart(2)
        await until(lambda: ("router.2", True) in told)
        assert told == [("router.2", False), ("router.2", True)]


async def test_a_router_by_name_and_by_address() -> None:
    async with Star(2) as star:
        bus = await star.client()
        assert (await bus.router("router.2").request("luabus.stats"))["router"] == "router.2"
        assert (await bus.router(star.addresses[0]).request("luabus.stats"))["router"] == "router.1"
        with pytest.raises(NoRoute, match=r"there is no router 'router\.9'; there are: router\.1, router\.2"):
            bus.router("router.9")


# --- starting -------------------------------------------------------------------------------------------------


async def test_no_routers_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no router is given; name at least one"):
        await Bus().start([])


def test_a_bus_that_was_not_started_says_so() -> None:
    bus = Bus()
    with pytest.raises(NotConnected, match="this bus has not been started"):
        bus.mgr  # noqa: B018
    bus.groups.update(GROUPS)
    with pytest.raises(NotConnected):
        bus.random("mail").send("x")


async def test_a_bus_may_be_started_before_its_routers() -> None:
    async with Star(1) as star:
        port = star.routers[0].port
        await star.routers[0].stop(0.0)
        bus = Bus()
        await bus.start([f"127.0.0.1:{port}"], security=Security.of(SECRET))
        with pytest.raises(NotConnected, match="Connection refused"):
            await bus.ready(0.2)
        await star.restart(1)
        await bus.ready(5.0)
        assert prefers(bus) == "router.1"
        await bus.close()


async def test_closing_twice_and_closing_what_was_never_started() -> None:
    async with Star(1) as star:
        bus = await star.client()
        await bus.close()
        await bus.close()
    await luabus.Bus().close()


async def test_a_subscriber_that_raises_keeps_nothing_from_the_others() -> None:
    async with Star() as star:
        bus = await star.client()
        told: list[str] = []

        def abort(*args: Any) -> None:
            raise Abort

        for subscribe, name in ((bus.on_names, "names"), (bus.on_router, "router"), (bus.on_group, "group")):
            subscribe(abort)
            subscribe(lambda *args, name=name: told.append(name))
        await bus.watch()
        await star.mail(1)
        await until(lambda: {"names", "group"} <= set(told))
        assert await bus.target("mail.1").request("who") == "mail.1"
        await star.routers[0].stop(0.0)
        await until(lambda: "router" in told)
