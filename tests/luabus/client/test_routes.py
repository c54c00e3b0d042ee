"""The five routes and what can be done with each: who answers, and every way in which nobody does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

import luabus
from luabus import ServiceId
from luabus.errors import (
    BadArguments,
    FrameTooLarge,
    NoMaster,
    NoRoute,
    Overloaded,
    PeerLost,
    Refused,
    RemoteError,
    RequestTimeout,
    UnknownMethod,
)
from luabus.ids import CLIENT_BASE
from tests.support.bus import Star
from tests.support.fast_time import run_fast
from tests.support.owners import line_of
from tests.support.waiting import until

# --- who answers ----------------------------------------------------------------------------------------------


async def test_target_is_answered_by_the_one_instance() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        for way in ("mail.2", "2.2", ServiceId.of(2, 2), 0x0002_0002):
            assert await bus.target(way).request("who") == "mail.2"


async def test_hash_is_answered_by_the_owner_of_the_key_and_always_by_the_same() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        for key in ("alice", "bob", b"bob", "", 0, 1, 2, 12345, -1):
            wanted = f"mail.{line_of(key)[0]}"
            assert await bus.hash("mail", key).request("who") == wanted
            assert await bus.hash(2, key).request("who") == wanted


async def test_hash_the_keys_of_one_that_stopped_go_to_all_others_and_come_home() -> None:
    async with Star() as star:
        (first, _, _) = await star.mail()
        bus = await star.client()
        keys = range(40)
        before = [await bus.hash("mail", key).request("who") for key in keys]
        await first.service.stop()
        without = [await bus.hash("mail", key).request("who") for key in keys]
        assert {new for old, new in zip(before, without, strict=True) if old == "mail.1"} == {
            "mail.2",
            "mail.3",
        }
        assert all(new == old for old, new in zip(before, without, strict=True) if old != "mail.1")
        await star.mail(1)
        assert [await bus.hash("mail", key).request("who") for key in keys] == before


async def test_random_is_answered_by_any_live_one_with_the_same_chance() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        found = Counter(await asyncio.gather(*(bus.random("mail").request("who") for _ in range(600))))
        assert set(found) == {"mail.1", "mail.2", "mail.3"}
        assert min(found.values()) > 120


async def test_broadcast_reaches_everybody_but_the_sender_and_says_how_many() -> None:
    async with Star() as star:
        mail = await star.mail()
        bus = await star.client()
        assert await bus.broadcast("mail").publish("note", "from a client") == 3
        assert await mail[1].bus.broadcast("mail").publish("note", "from mail.2") == 2
        await mail[2].noted(2)
        assert [one.notes for one in mail] == [
            ["from a client", "from mail.2"], ["from a client"], ["from a client", "from mail.2"],
        ]  # fmt: skip
        assert await bus.broadcast("gateway").publish("note", 1) == 0


async def test_master_is_answered_by_the_master() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        await bus.router("router.1").request("luabus.register", "2.3", "own", True)
        assert await bus.master("mail").request("who") == "mail.3"


async def test_one_way_messages_arrive_by_each_route_and_in_order() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        await bus.router("router.1").request("luabus.register", "2.1", "own", True)
        routes = [
            bus.target("mail.1"),
            bus.hash("mail", 0),
            bus.random("mail"),
            bus.broadcast("mail"),
            bus.master("mail"),
        ]
        for number in range(1000):
            await routes[number % 5].send("note", number)
        assert await mail.noted(1000) == list(range(1000))


async def test_order_per_sender_and_receiver_with_several_senders() -> None:
    async with Star(2) as star:
        (mail,) = await star.mail(1)
        senders = [await star.client() for _ in range(4)]
        for number in range(300):
            for index, bus in enumerate(senders):
                bus.target("mail.1").send("note", [index, number])
            await asyncio.sleep(0)
        notes = await mail.noted(1200)
        for index in range(4):
            assert [number for sender, number in notes if sender == index] == list(range(300))


async def test_requests_and_one_way_messages_of_one_sender_keep_their_order_together() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        tasks = []
        for number in range(200):
            if number % 2:
                bus.target("mail.1").send("note", number)
            else:
                tasks.append(asyncio.create_task(bus.target("mail.1").request("note", number)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert sorted(await mail.noted(200)) == list(range(200))
        assert mail.notes == list(range(200))


async def test_a_service_may_call_itself_and_others() -> None:
    async with Star() as star:
        (mail, _) = await star.mail(1, 2)
        assert await mail.bus.target("mail.1").request("who") == "mail.1"
        assert await mail.bus.target("mail.2").request("who") == "mail.2"


async def test_every_type_passes_there_and_back() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        value = [None, True, -(1 << 63), (1 << 64) - 1, 0.5, "\u90ae", b"\0", [1, [2]], {"a": {1: b"x"}}]
        assert await bus.target("mail.1").request("echo", value) == value


# --- nobody there: at once, not by time-out -------------------------------------------------------------------


@pytest.mark.parametrize("route", ["target:mail.9", "hash:gateway:x", "random:gateway", "target:7.1"])
async def test_a_request_to_nobody_is_no_route_at_once(route: str) -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        with pytest.raises(NoRoute, match="nobody is there for"):
            await bus.route(route).request("who", timeout=None)


@pytest.mark.parametrize("group", ["mail", "gateway"])
async def test_a_request_to_a_group_without_a_master_is_no_master_at_once(group: str) -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        with pytest.raises(NoMaster, match="has no master now"):
            await bus.master(group).request("who", timeout=None)


async def test_wait_for_master_waits_until_there_is_one() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        task = asyncio.create_task(bus.master("mail").request("who", timeout=5.0, wait_for_master=True))
        with pytest.raises(NoMaster):
            await bus.master("mail").request("who")
        assert not task.done()
        await bus.router("router.1").request("luabus.register", "2.1", "own", True)
        assert await task == "mail.1"


async def test_wait_for_master_ends_with_the_time_out() -> None:
    async with Star() as star:
        bus = await star.client()
        started = time.monotonic()
        with pytest.raises(RequestTimeout, match=r"master:mail had no master for 0\.05 s") as caught:
            await bus.master("mail").request("who", timeout=0.05, wait_for_master=True)
        assert (caught.value.route, caught.value.timeout_s) == ("master:mail", 0.05)
        assert time.monotonic() - started < 2.0


async def test_wait_for_master_does_not_ask_again_what_a_handler_has_answered() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        mail.service.rpc(lambda: mail.bus.master("gateway").request("who"), name="nested")
        bus = await star.client()
        await bus.router("router.1").request("luabus.register", "2.1", "own", True)
        with pytest.raises(NoMaster, match="gateway has no master now"):
            await bus.master("mail").request("nested", wait_for_master=True)
        assert mail.service.handlers.methods["nested"].stats.calls == 1


# --- failures in flight ---------------------------------------------------------------------------------------


async def test_a_callee_that_dies_in_flight_is_peer_lost_at_once() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        task = asyncio.create_task(bus.target("mail.1").request("wait", timeout=None))
        assert await mail.events.get() == "started"
        await mail.bus.close()
        with pytest.raises(PeerLost, match=r"mail\.1 went away while the request was in flight") as caught:
            await task
        assert caught.value.peer == "2.1"
        assert await mail.events.get() == "cancelled"


async def test_what_the_handler_raises_arrives_with_type_message_and_traceback() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        with pytest.raises(RemoteError, match=r"fail at mail\.1 raised ValueError: no box") as caught:
            await bus.hash("mail", 1).request("fail", "no box")
        assert (caught.value.type, caught.value.text, caught.value.method) == ("ValueError", "no box", "fail")
        assert "in fail" in caught.value.traceback
        with pytest.raises(UnknownMethod, match=r"mail\.1 has no method 'hwo'; did you mean 'who'"):
            await bus.hash("mail", 1).request("hwo")
        with pytest.raises(BadArguments, match="missing: value"):
            await bus.hash("mail", 1).request("echo")


async def test_a_time_out_tells_the_callee_whose_handler_is_cancelled() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        with pytest.raises(RequestTimeout, match=r"no answer from hash:mail:7 wait within 0\.05 s") as caught:
            await bus.hash("mail", 7).request("wait", timeout=0.05)
        assert caught.value.timeout_s == pytest.approx(0.05, abs=0.01)
        assert [await mail.events.get(), await mail.events.get()] == ["started", "cancelled"]


@pytest.mark.parametrize("timeout", [0.0501, 0.0537, 0.0599, 1.2345])
def test_a_time_out_is_never_early_and_at_most_10_ms_late(timeout: float) -> None:
    async def main() -> None:
        async with Star() as star:
            await star.mail(1)
            bus = await star.client()
            started = time.monotonic()
            with pytest.raises(RequestTimeout):
                await bus.target("mail.1").request("wait", timeout=timeout)
            assert timeout <= time.monotonic() - started <= timeout + 0.010

    run_fast(main())


async def test_cancelling_an_awaited_request_cancels_the_handler() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        task = asyncio.create_task(bus.random("mail").request("wait"))
        assert await mail.events.get() == "started"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await mail.events.get() == "cancelled"
        assert not star.routers[0].stats()["requests_in_flight"]


async def test_a_caller_that_dies_cancels_the_handler() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        task = asyncio.create_task(bus.random("mail").request("wait"))
        assert await mail.events.get() == "started"
        await bus.close()
        assert await mail.events.get() == "cancelled"
        with pytest.raises(luabus.RouterLost, match="this side closed the connection"):
            await task


async def test_a_service_at_its_concurrency_limit_is_overloaded() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1, max_concurrency=2)
        bus = await star.client()
        waiting = [asyncio.create_task(bus.target("mail.1").request("wait")) for _ in range(2)]
        for _ in range(2):
            await mail.events.get()
        with pytest.raises(Overloaded, match=r"mail\.1 runs 2 calls already"):
            await bus.target("mail.1").request("who")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: not mail.service.handlers.running)
        assert await bus.target("mail.1").request("who") == "mail.1"


async def test_the_deadline_travels_and_a_nested_request_passes_the_trace_on() -> None:
    async with Star() as star:
        (first, second) = await star.mail(1, 2)
        traces: list[int] = []

        @first.service.rpc
        async def outer() -> Any:
            traces.append(luabus.caller().trace)
            return await first.bus.target("mail.2").request("inner")

        @second.service.rpc
        def inner() -> list[Any]:
            one = luabus.caller()
            traces.append(one.trace)
            return [str(one), one.remaining_s]

        bus = await star.client()
        caller, left = await bus.target("mail.1").request("outer", timeout=3.0)
        assert caller == "2.1"
        assert 4.0 < left <= 5.01
        assert traces[0] == traces[1] != 0


async def test_an_error_tells_who_answered_with_it() -> None:
    """Nobody, where nobody was reached: a retry may tell the two apart."""
    async with Star() as star:
        (mail,) = await star.mail(1)
        mail.service.rpc(lambda: mail.bus.target("mail.2").request("who"), name="nested")
        bus = await star.client()
        for route, method, by in (
            ("target:mail.1", "nested", 0x0002_0001), ("target:mail.1", "fail", 0x0002_0001),
            ("target:mail.1", "nothing", 0x0002_0001), ("target:mail.2", "who", None), ("master:mail", "who", None),
        ):  # fmt: skip
            with pytest.raises(luabus.LuabusError) as raised:
                await bus.route(route).request(method)
            assert raised.value.answered_by == by
            with pytest.raises(luabus.LuabusError) as raised:
                await bus.route(route).answered(method)
            assert raised.value.answered_by == by
        failed = (await bus.broadcast("mail").gather("fail")).popitem()[1]
        assert failed.answered_by == 0x0002_0001


async def test_the_callee_knows_who_calls_as_the_router_vouched_for_it() -> None:
    async with Star() as star:
        (mail, other) = await star.mail(1, 2)
        mail.service.rpc(lambda: int(luabus.caller()), name="caller")
        bus = await star.client()
        assert await bus.target("mail.1").request("caller") >= CLIENT_BASE
        assert await other.bus.target("mail.1").request("caller") == 0x0002_0002


# --- sizes ----------------------------------------------------------------------------------------------------


async def test_a_message_over_the_limit_is_refused_at_the_sender_before_anything_is_sent() -> None:
    async with Star(frame_limit=100_000) as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        sent = star.routers[0].stats()["bytes_in"]
        for use in (bus.target("mail.1").send, bus.broadcast("mail").send):
            with pytest.raises(FrameTooLarge, match="at most 99984 can be sent"):
                use("note", bytes(100_001))
        with pytest.raises(FrameTooLarge):
            await bus.target("mail.1").request("echo", bytes(100_001))
        mail.service.rpc(lambda: bytes(100_001), name="large")
        with pytest.raises(RemoteError, match="returned what cannot be sent"):
            await bus.target("mail.1").request("large")
        assert star.routers[0].stats()["bytes_in"] - sent < 5000
        assert await bus.target("mail.1").request("echo", bytes(99_000)) == bytes(99_000)


async def test_bodies_of_more_than_1_mib_pass_when_configured() -> None:
    async with Star(frame_limit=8 << 20, buffer=32 << 20) as star:
        await star.mail(1, frame_limit=8 << 20)
        bus = await star.client(frame_limit=8 << 20)
        body = bytes(range(256)) * (6 << 12)
        assert await bus.target("mail.1").request("echo", body) == body


async def test_the_default_limit_is_1_mib() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        body = bytes((1 << 20) - 100)
        assert await bus.target("mail.1").request("echo", body) == body
        with pytest.raises(FrameTooLarge):
            await bus.target("mail.1").request("echo", bytes(1 << 20))


# --- gather ---------------------------------------------------------------------------------------------------


async def test_gather_names_everyone_with_value_or_exception() -> None:
    async with Star() as star:
        mail = await star.mail()
        mail[1].replace(lambda: 1 / 0, "who")
        bus = await star.client()
        found = await bus.broadcast("mail").gather("who")
        assert list(found) == [ServiceId.of(2, 1), ServiceId.of(2, 2), ServiceId.of(2, 3)]
        assert (found[ServiceId.of(2, 1)], found[ServiceId.of(2, 3)]) == ("mail.1", "mail.3")
        assert isinstance(found[ServiceId.of(2, 2)], RemoteError)
        assert str(next(iter(found))) == "2.1"


async def test_gather_with_a_silent_member_names_it_when_the_time_is_over() -> None:
    async with Star() as star:
        mail = await star.mail()
        mail[2].replace(mail[2].wait, "who")
        bus = await star.client()
        found = await bus.broadcast("mail").gather("who", timeout=0.1)
        assert isinstance(found.pop(ServiceId.of(2, 3)), RequestTimeout)
        assert sorted(found.values()) == ["mail.1", "mail.2"]
        assert [await mail[2].events.get(), await mail[2].events.get()] == ["started", "cancelled"]


async def test_gather_with_a_member_that_dies_names_it_at_once() -> None:
    async with Star() as star:
        mail = await star.mail()
        mail[2].replace(mail[2].wait, "who")
        bus = await star.client()
        task = asyncio.create_task(bus.broadcast("mail").gather("who", timeout=60.0))
        assert await mail[2].events.get() == "started"
        await mail[2].bus.close()
        found = await task
        assert isinstance(found[ServiceId.of(2, 3)], PeerLost)
        assert found[ServiceId.of(2, 1)] == "mail.1"


async def test_gather_has_an_entry_for_each_who_got_it_however_it_ended() -> None:
    async with Star() as star:
        mail = await star.mail(1, 2, 3, 4)
        mail[1].replace(lambda: 1 / 0, "wait")
        mail[3].replace(lambda: "mail.4", "wait")
        bus = await star.client()
        task = asyncio.create_task(bus.broadcast("mail").gather("wait", timeout=0.5))
        for one in (mail[0], mail[2]):
            assert await one.events.get() == "started"
        await mail[2].bus.close()
        found = await task
        assert [str(one) for one in found] == ["2.1", "2.2", "2.3", "2.4"]
        kinds = [type(value) for value in found.values()]
        assert kinds == [RequestTimeout, RemoteError, PeerLost, str]


async def test_a_broadcast_goes_to_the_live_ones_only() -> None:
    async with Star() as star:
        (first, gone, third) = await star.mail()
        bus = await star.client()
        await gone.service.stop()
        assert await bus.broadcast("mail").publish("note", "still here") == 2
        assert await first.noted(1) == await third.noted(1) == ["still here"]
        assert gone.notes == []


async def test_gather_over_an_empty_group_is_empty_at_once() -> None:
    async with Star() as star:
        bus = await star.client()
        assert await bus.broadcast("gateway").gather("who", timeout=60.0) == {}


async def test_a_gather_that_is_cancelled_cancels_all_handlers() -> None:
    async with Star() as star:
        mail = await star.mail()
        bus = await star.client()
        task = asyncio.create_task(bus.broadcast("mail").gather("wait"))
        for one in mail:
            assert await one.events.get() == "started"
        task.cancel()
        for one in mail:
            assert await one.events.get() == "cancelled"
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_fits_one_route_only_is_said() -> None:
    async with Star() as star:
        bus = await star.client()
        with pytest.raises(Refused, match=r"many answers; use gather\(\)"):
            await bus.broadcast("mail").request("who")
        with pytest.raises(Refused, match=r"use request\(\)"):
            await bus.random("mail").gather("who")
        with pytest.raises(Refused, match=r"publish\(\) is for broadcasts"):
            await bus.random("mail").publish("who")


# --- a sender that is too fast --------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["target:mail.1", "hash:mail:alice", "random:mail", "broadcast:mail"])
async def test_a_sender_that_is_too_fast_for_its_receiver_is_slowed_by_await_and_loses_nothing(
    route: str,
) -> None:
    """More than the buffers of all on the way hold together, so it had to wait."""
    async with Star(buffer=2 << 20) as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        for number in range(4000):
            await bus.route(route).send("note", [number, bytes(10_000)])
        assert [number for number, _ in await mail.noted(4000)] == list(range(4000))
        assert (await bus.router("router.1").request("luabus.stats"))["undeliverable"] == {}


async def test_a_burst_of_requests_waits_for_room_instead_of_being_refused() -> None:
    """More than the caller's own buffer holds; the router's are large enough."""
    async with Star(buffer=64 << 20) as star:
        await star.mail(1)
        bus = await star.client()
        bodies = [bytes([number]) * 500_000 for number in range(40)]
        requests = [bus.target("mail.1").request("echo", body) for body in bodies]
        assert await asyncio.gather(*requests) == bodies
        answers = await asyncio.gather(*(bus.broadcast("mail").gather("echo", body) for body in bodies))
        assert [list(answer.values()) for answer in answers] == [[body] for body in bodies]


async def test_a_sender_that_does_not_await_is_refused_when_its_buffer_is_full() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        refused = 0
        for _ in range(3000):  # without the loop having a chance to run
            try:
                bus.target("mail.1").send("note", bytes(10_000))
            except Overloaded as error:
                refused += 1
                assert error.limit == 8 << 20  # noqa: PT017
        assert refused > 1000
        assert await bus.target("mail.1").request("who") == "mail.1"
