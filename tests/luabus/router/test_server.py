"""A router: who may register, what it tells, changes by hand, what it shows and counts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

import luabus
from luabus import admin
from luabus.errors import (
    AuthError,
    ConfigError,
    FrameTooLarge,
    LuabusError,
    NoMaster,
    ProtocolError,
    Refused,
    RemoteError,
    UnknownMethod,
)
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Frame, Kind, encode
from luabus.protocol.handshake import decode_bye
from luabus.router.server import Router
from luabus.transport.manager import create_socket_mgr
from luabus.transport.security import Security
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
        assert said == "what it sent to target mail.9 reached nobody: nobody is there"
        assert before <= (at or 0) <= time.time()
        with pytest.raises(NoMaster):
            await bus.master("mail").request("who")
        assert last_error("client")[0] == "NoMaster: group mail has no master now"
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
                await silent.request("luabus.join", M1, "mail", 1, "")
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


async def test_it_takes_connections_to_its_own_address_and_to_those_it_advertises() -> None:
    async with Star(1, advertise=("127.0.0.1:1", "Bus.example:7070")) as star:
        (router,) = star.routers
        for dialed, there, may in (
            ("anything:1", router.port, True),
            (f"127.0.0.1:{router.port}", 2, False),
            ("bus.example:7070", 2, True),
            ("127.0.0.1:1", 2, True),
            ("127.0.0.1:2", 1, True),
            ("bus.example:7071", 2, False),
        ):
            handshake = Security.of(SECRET).connector(dialed)
            peer = await RawPeer.dial(router.port)
            peer.write(handshake.start(("127.0.0.1", there)))
            frame = await peer.frame()
            assert (frame.kind is Kind.HELLO) == may, dialed
            if not may:
                error = decode_bye(frame.body)
                assert isinstance(error, AuthError)
                assert f"made to {dialed} = 127.0.0.1:{there} and has come to 127.0.0.1:{router.port}" in str(
                    error
                )
            await peer.close()


async def test_its_secret_file_is_read_at_each_connection(tmp_path: Path) -> None:
    old, new = b"the secret of old times", b"the secret of new times"
    file = tmp_path / "secret"
    file.write_bytes(old)
    async with Router("router.1", port=0, secret_file=file) as router:

        async def gets_in(secret: bytes) -> bool:
            try:
                async with luabus.connect([f"127.0.0.1:{router.port}"], secret=secret):
                    return True
            except AuthError:
                return False

        assert [await gets_in(old), await gets_in(new)] == [True, False]
        file.with_name("secret.next").write_bytes(new)
        assert [await gets_in(old), await gets_in(new)] == [True, True]
        file.write_bytes(new)
        file.with_name("secret.next").unlink()
        assert [await gets_in(old), await gets_in(new)] == [False, True]


@pytest.mark.parametrize("secret", ["", b"x", "fifteen bytes.."])
def test_a_short_secret_is_refused(secret: bytes | str) -> None:
    with pytest.raises(ConfigError, match="give at least 16 bytes"):
        Router("router.1", secret=secret)
