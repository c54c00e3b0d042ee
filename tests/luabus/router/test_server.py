"""A router: who may register, what it tells, changes by hand, what it shows and counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

import pytest

from luabus import admin
from luabus.errors import (
    BadArguments,
    ConfigError,
    FrameTooLarge,
    IdInUse,
    LuabusError,
    NoMaster,
    ProtocolError,
    Refused,
    RemoteError,
    StaleEpoch,
    UnknownMethod,
)
from luabus.ids import CLIENT_BASE
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Frame, Kind, encode
from luabus.router.server import Router
from luabus.transport.manager import create_socket_mgr
from tests.support.bus import SECRET, Star
from tests.support.fast_time import run_fast
from tests.support.raw import RawPeer
from tests.support.streams import Events
from tests.support.waiting import until

M1, M2 = 0x0002_0001, 0x0002_0002


async def peer(star: Star) -> RawPeer:
    return await RawPeer.open(star.routers[0].port, SECRET)


# --- registering ----------------------------------------------------------------------------------------------


async def test_who_connects_is_welcomed_with_names_limits_and_masters() -> None:
    async with Star() as star, await peer(star) as one:
        method, facts = codec.unpack_value((await one.frame(Kind.CALL)).body)
        assert (method, facts["router"], facts["frame_limit"]) == ("luabus.welcome", "router.1", 1 << 20)
        assert {group["name"]: group["group"] for group in facts["groups"]}["mail"] == 2


async def test_a_service_registers_and_is_reached() -> None:
    async with Star() as star, await peer(star) as one:
        answer = await one.request("luabus.join", M1, "mail", 1, 3, "hash")
        assert (answer["router"], answer["token"]) == ("router.1", one.given_id & 0xFF_FFFF)
        client = await star.client()
        client.target("mail.1").send("hello")
        assert codec.unpack_value((await one.frame(Kind.TARGET)).body) == ["hello"]


@pytest.mark.parametrize(
    ("service_id", "slots", "words"),
    [
        (0x0000_0001, None, "group 0 belongs to the routers"),
        (0x0002_0000, None, "instance 0 is out of range"),
        (0x0100_0001, None, "group 256 is out of range"),
        (CLIENT_BASE | 1, None, "is the id of a connection"),
        (M1, 0, "slots is a whole number from 1 to 65535, not 0"),
        (M1, 70_000, "slots is a whole number from 1 to 65535, not 70000"),
    ],
)
async def test_what_cannot_be_registered_is_refused(service_id: int, slots: int | None, words: str) -> None:
    async with Star() as star, await peer(star) as one:
        refused = await one.request("luabus.join", service_id, "mail", 1, slots, "")
        assert isinstance(refused, Refused | BadArguments)
        assert words in str(refused)
        assert star.routers[0].mgr.switch.table.where(M1) is None


async def test_an_older_process_with_the_same_id_is_refused_loudly() -> None:
    async with Star() as star, await peer(star) as newer, await peer(star) as older:
        await newer.request("luabus.join", M1, "mail", 200, None, "")
        refused = await older.request("luabus.join", M1, "mail", 100, None, "")
        assert isinstance(refused, IdInUse)
        assert (refused.service_id, refused.incarnation, refused.holder) == (M1, 100, 200)
        client = await star.client()
        client.target("mail.1").send("to the newer")
        assert (await newer.frame(Kind.TARGET)).kind is Kind.TARGET


async def test_a_newer_process_with_the_same_id_takes_it_over_and_the_old_one_is_told() -> None:
    async with Star() as star, await peer(star) as old, await peer(star) as new:
        await old.request("luabus.join", M1, "mail", 100, None, "")
        await new.request("luabus.join", M1, "mail", 200, None, "")
        assert isinstance(await old.decode_bye(), IdInUse)
        client = await star.client()
        client.target("mail.1").send(
            "to the newer"
        )  # the late end of the old connection has not unregistered it
        assert (await new.frame(Kind.TARGET)).kind is Kind.TARGET


async def test_a_connection_that_dies_leaves_a_vacant_slot_and_one_that_leaves_too_if_it_is_configured() -> (
    None
):
    async with Star() as star:
        table = star.routers[0].mgr.switch.table
        async with await peer(star) as one:
            await one.request("luabus.join", M1, "mail", 1, 3, "hash")
        await until(lambda: table.where(M1) is None)
        assert len(table.group(2).slot_ids) == 3
        async with await peer(star) as one:
            await one.request("luabus.join", 0x0007_0001, "other", 1, None, "")
            await one.request("luabus.leave")
            assert table.group(7).entries == {}


async def test_what_was_sent_before_the_leaving_arrives_before_its_answer() -> None:
    async with Star() as star, await peer(star) as one:
        await one.request("luabus.join", M1, "mail", 1, None, "")
        client = await star.client()
        for _ in range(100):
            client.target("mail.1").send("m")
        assert await client.router("router.1").request("luabus.stats")
        one.call("luabus.leave", sequence=9)
        kinds = []
        while True:
            frame = await one.frame()
            kinds.append(frame.kind)
            if frame.kind is Kind.REPLY and frame.sequence == 9:
                break
        assert kinds.count(Kind.TARGET) == 100


async def test_epochs_go_up_only_and_the_same_epoch_from_two_raises_an_alarm() -> None:
    async with Star() as star, await peer(star) as one, await peer(star) as two:
        await one.request("luabus.join", M1, "mail", 1, None, "master")
        await two.request("luabus.join", M2, "mail", 1, None, "master")
        assert await one.request("luabus.master", 5) is None
        assert isinstance(await two.request("luabus.master", 5), StaleEpoch)
        assert isinstance(await two.request("luabus.master", 4), StaleEpoch)
        assert await two.request("luabus.master", 6) is None
        assert isinstance(await one.request("luabus.master", 5), StaleEpoch)
        alarms = star.routers[0].stats()["alarms"]
        assert any("2.2 claims epoch 5 of group 2, but 2.1 has epoch 5" in str(alarm) for alarm in alarms)
        assert star.routers[0].routes()["groups"][1]["master"] == "2.2"
        await two.request("luabus.resign", 6)
        assert star.routers[0].routes()["groups"][1]["master"] is None
        assert star.routers[0].routes()["groups"][1]["epoch"] == 6


async def test_only_a_registered_service_can_be_master() -> None:
    async with Star() as star, await peer(star) as one:
        assert isinstance(await one.request("luabus.master", 5), Refused)


# --- who speaks -----------------------------------------------------------------------------------------------


async def test_a_frame_with_anothers_source_ends_the_connection() -> None:
    async with Star() as star, await peer(star) as one:
        await star.mail(1)
        one.send(Frame(Kind.TARGET, 0, 0, M1, source=M2, body=b"\x91\xa1m"))
        error = await one.decode_bye()
        assert isinstance(error, ProtocolError)
        assert "a frame claims to come from 2.2, but this connection is client." in str(error)


async def test_a_forged_answer_reaches_nobody() -> None:
    async with Star() as star, await peer(star) as forger:
        (mail,) = await star.mail(1)
        client = await star.client()
        task = asyncio.create_task(client.target("mail.1").request("wait", timeout=0.3))
        await mail.events.get()
        stream = client.preferred
        assert stream is not None
        for sequence in range(20):
            forger.send(Frame(Kind.REPLY, 0, 0, stream.source, sequence=sequence, body=b"\x01"))
        await forger.request("luabus.stats")
        with pytest.raises(LuabusError, match="no answer"):
            await task
        assert star.routers[0].stats()["undeliverable"]["late_reply"] >= 20


# --- by hand --------------------------------------------------------------------------------------------------


async def test_register_by_hand_vacates_removes_and_restores() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        router = bus.router("router.1")

        async def slots() -> dict[str, bool]:
            group = next(g for g in (await router.request("luabus.routes"))["groups"] if g["group"] == 2)
            return {slot["service_id"]: slot["token"] != 0 for slot in group["slots"]}

        await router.request("luabus.register", "mail.1", 0)
        assert await slots() == {"2.1": False, "2.2": True, "2.3": True}
        assert await bus.hash("mail", 0).request("who") == "mail.2"
        await router.request("luabus.register", "mail.1", None)
        assert await slots() == {"2.2": True, "2.3": True}
        await router.request("luabus.register", M1, "own")
        assert await slots() == {"2.1": True, "2.2": True, "2.3": True}
        assert await bus.hash("mail", 0).request("who") == "mail.1"


async def test_register_by_hand_over_another_connection_by_its_token() -> None:
    async with Star() as star:
        await star.mail(1, 2)
        bus = await star.client()
        rows = await bus.router("router.1").request("luabus.connections")
        token = next(row["token"] for row in rows if row["name"] == "mail.2")
        shown = await bus.router("router.1").request("luabus.register", "mail.3", token, True)
        assert shown["master"] == "2.3"
        assert await bus.target("mail.3").request("who") == "mail.2"
        assert await bus.master("mail").request("who") == "mail.2"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("mail.1", 99_999), r"router.1 has no connection with token 99999; it has: \d+ \("),
        (("mail.1", "nonsense"), "no connection with token 'nonsense'"),
        (("mail.1", "own"), "no connection at router.1 has joined as mail.1"),
        (("mail.9", None), "router.1 has no entry for mail.9"),
        (("mial.1", 0), "there is no group named 'mial'; did you mean 'mail'"),
        (("mail", 0), "is not a service id: write GROUP.INSTANCE"),
        (("2.0", 0), "instance 0 is out of range: 1..65535"),
        (("mail.1", 0, True), "mail.1 cannot be master without a connection; give its token"),
    ],
)
async def test_register_by_hand_refuses_what_is_not_there_and_says_what_is(
    args: tuple[Any, ...], words: str
) -> None:
    async with Star() as star:
        bus = await star.client()
        before = star.routers[0].routes()["digest"]
        with pytest.raises(Refused, match=words):
            await bus.router("router.1").request("luabus.register", *args)
        assert star.routers[0].routes()["digest"] == before


async def test_a_group_that_elects_its_master_takes_none_by_hand() -> None:
    async with Star() as star, await peer(star) as one:
        await one.request("luabus.join", M1, "mail", 1, None, "master")
        await one.request("luabus.master", 5)
        refused = await one.request("luabus.register", "mail.1", "own", True)
        assert isinstance(refused, Refused)
        assert "elects its master by lease; use promote mail.1" in str(refused)


async def test_close_ends_one_connection_which_is_told_why() -> None:
    async with Star() as star, await peer(star) as one, await peer(star) as other:
        await one.request("luabus.join", M1, "mail", 1, None, "")
        assert await other.request("luabus.close", one.given_id & 0xFF_FFFF) == "mail.1"
        error = await one.decode_bye()
        assert isinstance(error, Refused)
        assert str(error) == "closed by an administrator"
        closed = star.routers[0].stats()["closed"][-1]
        assert (closed["name"], closed["reason"]) == ("mail.1", "closed by an administrator")
        assert isinstance(await other.request("luabus.close", 99_999), Refused)


async def test_an_unknown_method_of_a_router_is_said_with_the_closest_one() -> None:
    async with Star() as star, await peer(star) as one:
        unknown = await one.request("luabus.route")
        assert isinstance(unknown, UnknownMethod)
        assert "router.1 has no method 'luabus.route'; did you mean 'luabus.routes'?" in str(unknown)


@pytest.mark.parametrize("method", ["join", "register", "close", "master", "prefer", "report", "resign"])
@pytest.mark.parametrize(
    "args", [[None] * 3, [[], {}, b"x"], ["x", "y", "z"], [{}], [1 << 63, -1, 1 << 40], [1.5, True, None]]
)
async def test_arguments_of_wrong_types_are_an_error_and_not_the_routers_end(
    method: str, args: list[Any]
) -> None:
    async with Star() as star, await peer(star) as one:
        client = await star.client()
        await one.request(f"luabus.{method}", *args)
        assert (await client.router("router.1").request("luabus.stats"))["router"] == "router.1"


# --- what it shows --------------------------------------------------------------------------------------------

CONNECTION_KEYS = {
    "router", "token", "service_id", "name", "peer", "rtt_ms", "idle_s", "pending_bytes", "messages_in", "messages_out",
    "bytes_in", "bytes_out", "connected_s",
}  # fmt: skip


async def test_routes_and_connections_have_the_shapes_of_the_http_api() -> None:
    async with Star() as star:
        await star.mail(2)
        routes = star.routers[0].routes()
        assert routes["router"] == "router.1"
        group = next(g for g in routes["groups"] if g["group"] == 2)
        assert {"group", "name", "master", "epoch", "slots"} <= group.keys()
        assert [(s["service_id"], s["name"], s["token"] != 0) for s in group["slots"]] == [
            ("2.1", "mail.1", False), ("2.2", "mail.2", True), ("2.3", "mail.3", False),
        ]  # fmt: skip
        (row,) = star.routers[0].connections()
        assert row.keys() >= CONNECTION_KEYS
        assert (row["service_id"], row["name"], row["peer"].split(":")[0]) == ("2.2", "mail.2", "127.0.0.1")
        codec.pack_value([routes, row, star.routers[0].stats()])


async def test_undeliverable_messages_are_counted_by_reason_and_connection_and_stay_counted() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        for _ in range(3):
            bus.target("mail.9").send("m")
        bus.master("mail").send("m")
        bus.broadcast("gateway").send("m")
        await bus.router("router.1").request("luabus.stats")
        row = next(r for r in star.routers[0].connections() if r["name"].startswith("client"))
        assert row["undeliverable"] == {"no_route": 4, "no_master": 1}
        await bus.close()
        await until(lambda: len(star.routers[0].connections()) == 1)
        assert star.routers[0].stats()["undeliverable"] == {"no_route": 4, "no_master": 1}


async def test_a_connections_row_says_what_went_wrong_last_and_when() -> None:
    async with Star() as star:
        await star.mail(1)
        router = star.routers[0]
        bus = await star.client()

        def last_error(name: str) -> tuple[str | None, float | None]:
            row = next(row for row in router.connections() if row["name"].startswith(name))
            return row["last_error"], row["last_error_at"]

        assert last_error("client") == last_error("mail") == (None, None)
        before = time.time()
        bus.target("mail.9").send("m")
        await bus.router("router.1").request("luabus.stats")
        said, at = last_error("client")
        assert said == "what it sent to target 2.9 reached nobody: nobody is there"
        assert before <= (at or 0) <= time.time()
        with pytest.raises(NoMaster):
            await bus.master("mail").request("who")
        assert last_error("client")[0] == "NoMaster: group 2 has no master now"
        with pytest.raises(Refused):
            await bus.router("router.1").request("luabus.close", 999)
        assert last_error("client")[0] == "Refused: router.1 has no connection with token 999"
        with pytest.raises(RemoteError):
            await bus.target("mail.1").request("fail", "no such account")
        token = next(row["token"] for row in router.connections() if row["name"].startswith("client"))
        assert last_error("mail")[0] == (
            f"answered client.{token}: fail at mail.1 raised ValueError: no such account"
        )


async def test_the_rows_of_many_connections_come_in_pages_that_fit_into_a_frame() -> None:
    async with Star(frame_limit=8192) as star:
        router = star.routers[0]
        buses = [await star.client() for _ in range(9)]
        rows = await admin.connections(buses[0])
        assert [row["token"] for row in rows] == [row["token"] for row in router.connections(limit=4)] + [
            row["token"] for row in rows[4:]
        ]
        assert len(rows) == 9
        assert len(router.connections()) == 4
        assert router.connections(after=rows[-1]["token"]) == []


async def test_totals_count_messages_and_bytes_also_of_connections_that_are_gone() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        before = star.routers[0].stats()
        for _ in range(100):
            bus.target("mail.1").send("note", bytes(100))
        await mail.noted(100)
        await bus.close()
        await until(lambda: len(star.routers[0].connections()) == 1)
        after = star.routers[0].stats()
        assert after["messages_in"] - before["messages_in"] >= 100
        assert after["messages_out"] - before["messages_out"] >= 100
        assert after["bytes_out"] - before["bytes_out"] > 12_000
        assert after["connections"] == 1


async def test_a_connection_beyond_the_limit_is_refused_and_counted() -> None:
    async with Star(max_connections=1) as star, await peer(star) as one:
        async with await RawPeer.dial(star.routers[0].port) as other:
            assert await other.ended()
        assert (await one.request("luabus.stats"))["refused"] == 1


async def test_a_stranger_gets_nothing_of_the_bus() -> None:
    async with Star() as star:
        async with await RawPeer.dial(star.routers[0].port) as stranger:
            stranger.write(
                encode(Frame(Kind.CALL, FLAG_REQUEST, sequence=1, body=codec.pack_call("luabus.routes", ())))
            )
            assert isinstance(await stranger.decode_bye(), ProtocolError)
        assert star.routers[0].connections() == []


# --- what hostile or broken peers can do ----------------------------------------------------------------------


async def test_meta_that_does_not_fit_ends_its_sender_and_not_the_receiver() -> None:
    async with Star() as star, await peer(star) as hostile:
        (mail,) = await star.mail(1)
        data = encode(Frame(Kind.TARGET, FLAG_META, 0, M1))
        hostile.write((0).to_bytes(4, "little") + data[4:24])
        assert isinstance(await hostile.decode_bye(), ProtocolError)
        assert mail.bus.routers[0].ready
        assert await (await star.client()).target("mail.1").request("who") == "mail.1"


async def test_bodies_that_cannot_be_read_pass_the_router_and_harm_nobody() -> None:
    async with Star() as star, await peer(star) as hostile:
        (mail,) = await star.mail(1)
        for sequence, body in enumerate([b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91" * 2000], 1):
            hostile.send(Frame(Kind.TARGET, FLAG_REQUEST, 0, M1, sequence=sequence, body=body))
            assert isinstance(await hostile.answer(sequence), ProtocolError)
            hostile.send(Frame(Kind.TARGET, 0, 0, M1, body=body))
        assert await (await star.client()).target("mail.1").request("who") == "mail.1"
        assert mail.service.handlers.dropped == {"undecodable": 4}


async def test_a_frame_over_the_limit_ends_its_sender() -> None:
    async with Star(frame_limit=1000) as star, await peer(star) as hostile:
        hostile.write(encode(Frame(Kind.TARGET, 0, 0, M1, body=bytes(2000)))[:24])
        error = await hostile.decode_bye()
        assert isinstance(error, FrameTooLarge)
        assert error.limit == 1000


def test_a_plain_stream_to_a_router_may_be_silent_and_hears_only_what_is_sent_to_it() -> None:
    async def main() -> None:
        mgr = create_socket_mgr(2, secret=SECRET)
        async with Router(port=0, secret=SECRET) as router:
            streams = [mgr.connect("127.0.0.1", router.port) for _ in range(2)]
            told = [Events(stream) for stream in streams]
            await asyncio.gather(*(stream.connected() for stream in streams))
            await asyncio.sleep(600)
            there = min(router.mgr.streams)
            router.register("2.1", there, True)  # tells everybody the group's name
            streams[1].forward_target("2.1", "hello", 1)
            streams[0].forward_target("2.1", "once more", 2)
            await until(lambda: sum(len(events.calls) for events in told) == 2)
            assert sorted(call for events in told for call in events.calls) == [
                ("hello", 1),
                ("once more", 2),
            ]
            assert all(stream.is_open for stream in streams)
            await mgr.close()

    run_fast(main())


@pytest.mark.parametrize("first", ["join", "ping"])
def test_one_that_has_heartbeats_and_says_nothing_for_three_and_a_half_seconds_is_lost(first: str) -> None:
    async def main() -> None:
        router = Router(port=0, secret=SECRET)
        async with router, await RawPeer.open(router.port, SECRET) as silent:
            if first == "ping":
                silent.send(Frame(Kind.PING, 0, 0, 0))
                await silent.frame(Kind.PONG)
            else:
                await silent.request("luabus.join", M1, "mail", 1, None, "")
            started = time.monotonic()
            await silent.ended()
            assert time.monotonic() - started == pytest.approx(3.5, abs=0.1)
            assert router.mgr.switch.table.where(M1) is None
            assert "nothing was received for 3500 ms" in router.stats()["closed"][-1]["reason"]

    run_fast(main())


# --- starting and stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "router.example"])
def test_listening_beyond_loopback_is_refused_unless_it_is_said_in_words(host: str) -> None:
    with pytest.raises(ConfigError, match="reachable beyond this machine without encryption") as caught:
        Router(host=host)
    assert caught.value.key == "routers.host"
    assert Router(host=host, allow_plaintext=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_words(host: str) -> None:
    Router(host=host)


async def test_a_port_in_use_is_an_os_error_that_names_it() -> None:
    async with Star() as star:
        port = star.routers[0].port
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
            await Router("router.2", port=port).start()


async def test_a_router_that_stops_takes_no_new_registrations() -> None:
    async with Star() as star, await peer(star) as one:
        star.routers[0].draining = True
        assert isinstance(await one.request("luabus.join", M1, "mail", 1, None, ""), Refused)


async def test_a_router_that_stops_is_announced_and_says_goodbye_to_all() -> None:
    async with Star() as star, await peer(star) as one:
        await one.request("luabus.stats")
        stopping = asyncio.create_task(star.routers[0].stop(5.0))
        with contextlib.suppress(EOFError):
            while True:
                frame = await one.frame(Kind.CALL)
                if codec.unpack_value(frame.body)[0] == "luabus.draining":
                    break
        assert codec.unpack_value(frame.body) == ["luabus.draining", "router.1"]
        await stopping
        assert await one.ended()


async def test_stop_waits_for_requests_in_flight_but_not_longer_than_it_was_told() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        task = asyncio.create_task(bus.target("mail.1").request("wait", timeout=None))
        await mail.events.get()
        started = time.monotonic()
        await star.routers[0].stop(0.2)
        assert 0.19 <= time.monotonic() - started < 2.0
        with pytest.raises(LuabusError, match="was lost while the request was in flight"):
            await task


async def test_log_says_who_takes_over_from_whom(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "luabus"):
        async with Star() as star, await peer(star) as old, await peer(star) as new:
            await old.request("luabus.join", M1, "mail", 1, None, "")
            await new.request("luabus.join", M1, "mail", 2, None, "")
            await old.ended()
    assert "router.1 listens at 127.0.0.1:" in caplog.text
    assert "2.1 comes from a newer process; the old connection" in caplog.text
