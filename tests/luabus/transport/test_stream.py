"""Calls over a connection: one-way, requests, forwarding through a process that registers streams by hand."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from luabus.errors import (
    BadArguments,
    FrameTooLarge,
    NotConnected,
    Overloaded,
    PeerLost,
    ProtocolError,
    Refused,
    RequestTimeout,
    RouterLost,
    UnknownMethod,
)
from luabus.ids import CLIENT_BASE
from luabus.limits import MAX_OUTSTANDING
from luabus.protocol import codec
from luabus.protocol.compression import compress
from luabus.protocol.frames import (
    FLAG_COMPRESSED,
    FLAG_EPOCH,
    FLAG_META,
    FLAG_REQUEST,
    HEADER_SIZE,
    Frame,
    Kind,
    encode,
)
from luabus.protocol.stream_options import StreamOptions
from luabus.transport.stream import Reason, Subscribers
from tests.support.fast_time import run_fast
from tests.support.owners import key_of, line_of
from tests.support.raw import RawPeer
from tests.support.streams import Events, Pair

# --- call, on_call, on_error ----------------------------------------------------------------------------------


async def test_call_and_on_call_both_ways() -> None:
    async with Pair() as pair:
        pair.client.call("hello", 1, "two", [3.0], {"four": b"5"}, None, True)
        assert await pair.heard.of("call") == ("hello", 1, "two", [3.0], {"four": b"5"}, None, True)
        when = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
        pair.server.call("back", when)
        assert await pair.told.of("call") == ("back", when)


async def test_calls_arrive_in_order() -> None:
    async with Pair() as pair:
        for number in range(5000):
            pair.client.call("m", number)
            await pair.client.drained()
        await pair.heard.of("call", 5000)
        assert [entry[1] for entry in pair.heard.calls] == list(range(5000))


async def test_a_value_that_cannot_be_sent_is_said_and_nothing_is_sent() -> None:
    async with Pair() as pair:
        with pytest.raises(BadArguments, match=r"args\[1\]\['x'\] is a set"):
            pair.client.call("m", 1, {"x": {2}})
        pair.client.call("next")
        assert await pair.heard.of("call") == ("next",)


async def test_a_callback_that_raises_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with Pair() as pair:
        seen: asyncio.Queue[int] = asyncio.Queue()

        def on_call(msg: str, number: int) -> None:
            seen.put_nowait(number)
            raise ValueError("a mistake in the game")

        pair.server.on_call = on_call
        pair.client.call("m", 1)
        pair.client.call("m", 2)
        assert (await seen.get(), await seen.get()) == (1, 2)
        assert pair.server.is_open
    assert "a mistake in the game" in caplog.text
    assert caplog.records[0].name == "luabus.socket_mgr"


async def test_on_call_may_be_a_coroutine() -> None:
    async with Pair() as pair:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def on_call(msg: str) -> None:
            await asyncio.sleep(0)
            done.set_result(msg)

        pair.server.on_call = on_call
        pair.client.call("m")
        assert await done == "m"


async def test_on_error_comes_once_and_not_for_the_side_that_closed() -> None:
    async with Pair() as pair:
        pair.server.close()
        reason = await pair.told.reason()
        assert (reason, isinstance(reason, str), type(reason.error)) == ("closed by peer", True, PeerLost)
        await pair.client.closed()
        assert [entry[0] for entry in pair.told.log] == ["connect", "error"]
        assert [entry[0] for entry in pair.heard.log] == ["connect"]


def test_a_reason_is_a_text_with_the_typed_error() -> None:
    error = Overloaded("full", limit=3)
    assert Reason.of(error) == "Overloaded: full"
    assert Reason.of(error, "short") == "short"
    assert Reason.of(error, "short").error is error


# --- requests -------------------------------------------------------------------------------------------------


async def test_a_request_to_a_plain_stream_is_answered_with_what_on_call_returns() -> None:
    async with Pair() as pair:
        pair.server.on_call = lambda msg, *args: [msg, *args]
        assert await pair.client.request("m", 1) == ["m", 1]
        pair.client.on_call = lambda msg: "and back"
        assert await pair.server.request("m") == "and back"


async def test_a_request_that_nobody_handles_is_an_unknown_method() -> None:
    async with Pair() as pair:
        pair.server.on_call = None
        with pytest.raises(UnknownMethod, match="nobody handles 'm' here"):
            await pair.client.request("m")


@pytest.mark.parametrize("result", [object(), {1}, bytes(70_000)])
async def test_a_result_that_cannot_be_sent_is_an_error_and_not_the_streams_end(result: object) -> None:
    async with Pair() as pair:
        pair.server.on_call = lambda msg: result
        with pytest.raises((BadArguments, FrameTooLarge)):
            await pair.client.request("m")
        pair.server.on_call = lambda msg: "fine"
        assert await pair.client.request("m") == "fine"


async def test_many_requests_at_once_get_their_own_answers() -> None:
    async with Pair() as pair:
        pair.server.on_call = lambda msg, number: number * 2
        answers = await asyncio.gather(*(pair.client.request("m", n) for n in range(500)))
        assert answers == [n * 2 for n in range(500)]


def test_a_request_that_is_not_answered_ends_with_its_time_out() -> None:
    async def main() -> None:
        async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
            started = time.monotonic()
            with pytest.raises(
                RequestTimeout, match=r"no answer from m at 127\.0\.0\.1 within 2\.5 s"
            ) as caught:
                await pair.server_mgr.streams[2].request("m", timeout=2.5)
            assert time.monotonic() - started == pytest.approx(2.5, abs=0.03)
            assert caught.value.timeout_s == 2.5
            asked = await peer.frame(Kind.CALL)
            cancelled = await peer.frame(Kind.CANCEL)
            assert cancelled.sequence == asked.sequence

    run_fast(main())


async def test_an_answer_that_comes_too_late_is_ignored() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        stream = pair.server_mgr.streams[2]
        with pytest.raises(RequestTimeout):
            await stream.request("m", timeout=0.01)
        asked = await peer.frame(Kind.CALL)
        peer.send(Frame(Kind.REPLY, sequence=asked.sequence, body=b"\x01"))
        peer.send(Frame(Kind.REPLY, sequence=12345, body=b"\x01"))
        again = asyncio.ensure_future(stream.request("again"))
        asked = await peer.frame(Kind.CALL)
        peer.send(Frame(Kind.REPLY, sequence=asked.sequence, body=b"\x02"))
        assert await again == 2


async def test_cancelling_a_request_tells_the_other_end() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        task = asyncio.create_task(pair.server_mgr.streams[2].request("m"))
        asked = await peer.frame(Kind.CALL)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await peer.frame(Kind.CANCEL)).sequence == asked.sequence


@pytest.mark.parametrize("lost", [PeerLost, RouterLost])
async def test_requests_in_flight_are_told_when_the_stream_ends(lost: type[PeerLost]) -> None:
    async with Pair(subscribers=Subscribers(lost_error=lost)) as pair:
        pair.server.on_call = lambda msg: pair.server.close()
        pair.client.rename("router.1")
        with pytest.raises(
            lost, match=r"router\.1 was lost while the request was in flight: .*closed by peer"
        ) as caught:
            await pair.client.request("m", timeout=60)
        assert caught.value.peer == "router.1"


async def test_requests_in_flight_are_told_when_this_side_closes() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        stream = pair.server_mgr.streams[2]
        task = asyncio.create_task(stream.request("m", timeout=60))
        await peer.frame(Kind.CALL)
        stream.close()
        with pytest.raises(PeerLost, match="this side closed the connection"):
            await task


async def test_a_request_on_a_closed_stream_is_not_connected() -> None:
    async with Pair() as pair:
        pair.client.close()
        with pytest.raises(NotConnected):
            await pair.client.request("m")


async def test_requests_in_flight_are_limited() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port):
        stream = pair.server_mgr.streams[2]
        stream.set_send_buffer_size(64 << 20)
        waiters = [asyncio.get_running_loop().create_future() for _ in range(2)]
        for _ in range(MAX_OUTSTANDING):
            stream._calls.add(waiters[0], None)
        with pytest.raises(Overloaded, match="65536 requests are in flight") as caught:
            await stream.request("m")
        assert (caught.value.what, caught.value.limit) == ("requests in flight", MAX_OUTSTANDING)
        stream._calls.drain()


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Kind.REPLY, body=b"\xc1"),
        Frame(Kind.ERROR, body=b"\x01"),
        Frame(Kind.ERROR, body=b"\xc1"),
        Frame(Kind.REPLY, FLAG_COMPRESSED, body=b"no zstandard"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_protocol_error_for_its_caller_alone(frame: Frame) -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        stream = pair.server_mgr.streams[2]
        task = asyncio.create_task(stream.request("m"))
        asked = await peer.frame(Kind.CALL)
        peer.send(frame._replace(sequence=asked.sequence))
        with pytest.raises(ProtocolError):
            await task
        assert stream.is_open


async def test_a_reached_frame_for_a_plain_request_is_ignored() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        task = asyncio.create_task(pair.server_mgr.streams[2].request("m"))
        asked = await peer.frame(Kind.CALL)
        peer.send(Frame(Kind.REACHED, sequence=asked.sequence, body=b"\x90"))
        peer.send(Frame(Kind.REPLY, sequence=asked.sequence, body=b"\x05"))
        assert await task == 5


# --- forwarding: streams registered by hand --------------------------------------------------------------------


class Star:
    """A plain manager in the middle that registers three streams as 2.1, 2.2 and 2.3; a fourth one sends."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    async def __aenter__(self) -> Star:
        await self.pair.__aenter__()
        self.sender = self.pair.client
        self.members = [await self.pair.connect() for _ in range(3)]
        self.events = [told for _, _, told, _ in self.members]
        for instance, (_, server, _, _) in enumerate(self.members, 1):
            self.pair.server_mgr.register(f"2.{instance}", server.token, is_master=instance == 2)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.pair.__aexit__(*exc)

    async def got(self) -> list[list[str]]:
        """The messages that each member has got by now."""
        for _, server, _, _ in self.members:
            server.call("mark")
        for events in self.events:
            while not any(entry[0] == "mark" for entry in events.calls):
                await events.of("call", len(events.calls) + 1)
        return [[entry[0] for entry in events.calls if entry[0] != "mark"] for events in self.events]


async def flushed(star: Star) -> None:
    """Until the manager in the middle has forwarded what was sent before."""
    star.pair.server.on_call = lambda *_: "done"
    await star.sender.request("flush")


async def test_forward_target_reaches_one_instance() -> None:
    async with Star(Pair()) as star:
        star.sender.forward_target("2.2", "m")
        star.sender.forward_target(0x0002_0003, "m")
        await flushed(star)
        assert await star.got() == [[], ["m"], ["m"]]


async def test_forward_hash_reaches_the_owner_of_the_key() -> None:
    async with Star(Pair()) as star:
        keys = (0, 1, 2, 3, "alice", b"alice")
        for key in keys:
            star.sender.forward_hash(key, 2, f"m {key!s}")
        await flushed(star)
        assert await star.got() == [
            [f"m {key!s}" for key in keys if line_of(key)[0] == instance] for instance in (1, 2, 3)
        ]


async def test_forward_random_reaches_some_live_one() -> None:
    async with Star(Pair()) as star:
        for _ in range(300):
            star.sender.forward_random(2, "m")
        await flushed(star)
        counts = [len(each) for each in await star.got()]
        assert sum(counts) == 300
        assert min(counts) > 50


async def test_forward_broadcast_reaches_all_but_the_sender() -> None:
    async with Star(Pair()) as star:
        star.sender.forward_broadcast(2, "from outside")
        await flushed(star)
        star.members[0][0].forward_broadcast(2, "from 2.1")
        await star.events[1].of("call", 2)
        assert await star.got() == [
            ["from outside"],
            ["from outside", "from 2.1"],
            ["from outside", "from 2.1"],
        ]


async def test_forward_master_reaches_the_one_registered_as_master() -> None:
    async with Star(Pair()) as star:
        star.sender.forward_master(2, "m")
        await flushed(star)
        star.pair.server_mgr.register("2.3", star.members[2][1].token, is_master=True)
        await flushed(star)
        star.sender.forward_master(2, "n")
        await flushed(star)
        assert await star.got() == [[], ["m"], ["n"]]


async def test_register_with_token_0_keeps_a_vacancy_without_keys_and_none_removes_the_entry() -> None:
    async with Star(Pair()) as star:
        mgr = star.pair.server_mgr
        mgr.register("2.1", 0)
        star.sender.forward_hash(key_of(1, 2, 3), 2, "to the next in line")
        star.sender.forward_hash(key_of(3, 1, 2), 2, "as before")
        await flushed(star)
        assert mgr.switch.table.group(2).ids == [0x0002_0001, 0x0002_0002, 0x0002_0003]
        mgr.register("2.1", None)
        star.sender.forward_hash(key_of(1, 2, 3), 2, "to the same")
        await flushed(star)
        assert mgr.switch.table.group(2).ids == [0x0002_0002, 0x0002_0003]
        mgr.register("2.1", star.members[0][1].token)
        star.sender.forward_hash(key_of(1, 2, 3), 2, "home again")
        await flushed(star)
        assert await star.got() == [["home again"], ["to the next in line", "to the same"], ["as before"]]


async def test_a_registered_stream_that_breaks_leaves_a_vacancy() -> None:
    async with Star(Pair()) as star:
        client, server, _, heard = star.members[0]
        client.close()
        await heard.of("error")
        star.sender.forward_hash(key_of(1, 2, 3), 2, "to the next in line")
        await flushed(star)
        assert (await star.events[1].of("call")) == ("to the next in line",)
        table = star.pair.server_mgr.switch.table
        assert table.group(2).ids == [0x0002_0001, 0x0002_0002, 0x0002_0003]
        assert server.out == []


async def test_register_refuses_a_token_that_is_not_there_and_an_id_that_is_a_clients() -> None:
    async with Star(Pair()) as star:
        with pytest.raises(Refused, match="there is no stream with token 99 here; there are: 1, 2, 3, 4"):
            star.pair.server_mgr.register("2.1", 99)
        with pytest.raises(Refused):
            star.pair.server_mgr.register(CLIENT_BASE | 3, 2)


async def test_forwarded_messages_keep_their_order() -> None:
    async with Star(Pair()) as star:
        for number in range(1000):
            getattr(star.sender, ("forward_target", "forward_hash")[number % 2])(
                *(("2.1",) if number % 2 == 0 else (key_of(1, 2, 3), 2)), f"{number}"
            )
            await star.sender.drained()
        await flushed(star)
        assert (await star.got())[0] == [str(number) for number in range(1000)]


# --- compression ----------------------------------------------------------------------------------------------


async def test_a_large_body_travels_compressed_when_the_stream_says_so() -> None:
    async with Pair(options=StreamOptions(compress_above=1000)) as pair:
        pair.server.on_call = lambda msg, text: text
        before = pair.server.bytes_in, pair.client.bytes_in
        assert await pair.client.request("m", "x" * 50_000) == "x" * 50_000
        assert pair.server.bytes_in - before[0] < 1000
        assert pair.client.bytes_in - before[1] < 1000


async def test_a_body_that_unfolds_to_more_than_the_receive_buffer_ends_the_stream() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        events = Events(pair.server_mgr.streams[2])
        bomb = compress(codec.pack_call("m", (bytes(1 << 20),)))
        assert bomb is not None
        peer.send(Frame(Kind.CALL, FLAG_COMPRESSED, body=bomb))
        assert isinstance((await events.reason()).error, FrameTooLarge)


# --- what is not the protocol: that stream ends with a clear on_error, and nothing else notices -----------------

CALL = encode(Frame(Kind.CALL, body=codec.pack_call("m", ())))
HOSTILE: dict[str, tuple[bytes, type[Exception], str]] = {
    "garbage": (b"\xde\xad\xbe\xef" * 100, ProtocolError, "unknown frame kind 222; this is not luabus"),
    "a text protocol": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2, ProtocolError, "unknown frame kind 47"),
    "zeros": (bytes(1000), ProtocolError, "unknown frame kind 0"),
    "unknown flags": (encode(Frame(Kind.CALL, 0x40)), ProtocolError, "unknown flags 0x40 in a CALL frame"),
    "oversize length": (
        encode(Frame(Kind.CALL, body=bytes(70_000)))[:HEADER_SIZE],
        FrameTooLarge,
        "a frame of 70000 bytes was announced; the limit is 65536",
    ),
    "the largest length": (b"\xff" * 4 + CALL[4:], FrameTooLarge, "a frame of 4294967295 bytes was announced"),
    "hostile msgpack body": (
        encode(Frame(Kind.CALL, body=b"\xdc\xff\xff" * 20_000)),
        ProtocolError,
        "a body that is not msgpack within the limits",
    ),
    "a body that is no call": (encode(Frame(Kind.CALL, body=b"\x01")), ProtocolError, "the body of a call is"),
    "an empty body": (encode(Frame(Kind.CALL)), ProtocolError, "a body that is not msgpack"),
    "meta that does not fit": (
        encode(Frame(Kind.CALL, FLAG_REQUEST))[:5] + b"\x03" + encode(Frame(Kind.CALL))[6:],
        ProtocolError,
        "a frame with meta has 0 bytes; meta alone takes 16",
    ),
    "a second HELLO": (encode(Frame(Kind.HELLO, body=bytes(32))), ProtocolError, "HELLO came on an open stream"),
    "an AUTH": (encode(Frame(Kind.AUTH, body=bytes(32))), ProtocolError, "AUTH came on an open stream"),
    "a compressed body that is none": (
        encode(Frame(Kind.CALL, FLAG_COMPRESSED, body=b"x" * 40)),
        ProtocolError,
        "a compressed body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("at_once", [True, False])
async def test_hostile_bytes_end_that_stream_with_a_clear_on_error_and_nothing_else_notices(
    what: str, at_once: bool
) -> None:
    data, error, words = HOSTILE[what]
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        events = Events(pair.server_mgr.streams[2])
        if at_once:
            peer.write(CALL + data)
        else:
            peer.write(CALL)
            for index in range(0, len(data), max(1, len(data) // 7)):
                peer.write(data[index : index + max(1, len(data) // 7)])
                await asyncio.sleep(0)
        reason = await events.reason()
        assert isinstance(reason.error, error)
        assert words in reason
        assert reason.startswith(error.__name__)
        assert events.calls == [("m",)]  # what came before it was handled
        told = await peer.decode_bye()
        if at_once:  # to one who goes on writing, TCP may say that the connection is reset before it says why
            assert isinstance(told, error)
            assert str(told) in reason
        pair.client.call("nobody else notices")
        assert await pair.heard.of("call") == ("nobody else notices",)


@pytest.mark.parametrize("cut", [1, HEADER_SIZE - 1, HEADER_SIZE, len(CALL) - 1])
async def test_a_truncated_frame_ends_that_stream_with_a_clear_on_error(cut: int) -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        events = Events(pair.server_mgr.streams[2])
        peer.write(CALL + CALL[:cut])
        await events.of("call")
        peer._writer.write_eof()
        reason = await events.reason()
        assert isinstance(reason.error, ProtocolError)
        assert reason.startswith(f"ProtocolError: closed in the middle of a frame: {cut} of ")
        pair.client.call("nobody else notices")
        await pair.heard.of("call")


async def test_a_farewell_is_the_reason() -> None:
    async with Pair() as pair:
        pair.server.dismiss(Refused("closed by an administrator"))
        reason = await pair.told.reason()
        assert (reason, type(reason.error)) == ("Refused: closed by an administrator", Refused)
        await pair.server.closed()
        assert [entry[0] for entry in pair.heard.log] == ["connect"]


# --- heartbeats -----------------------------------------------------------------------------------------------


def test_heartbeats_keep_a_silent_stream_open_and_tell_the_clock_and_the_round_trip() -> None:
    async def main() -> None:
        async with Pair() as pair:
            pair.server.set_timeout(3500)
            pair.client.start_heartbeat(1.0, 3)
            await asyncio.sleep(60)
            assert pair.client.is_open
            assert pair.server.is_open
            assert pair.client.clock.offset_ms == pytest.approx(0, abs=2)
            assert 0 <= pair.client.clock.rtt_s < 0.05
            assert pair.told.calls == pair.heard.calls == []

    run_fast(main())


def test_three_missed_heartbeats_are_a_lost_peer() -> None:
    async def main() -> None:
        async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
            stream = pair.server_mgr.streams[2]
            events = Events(stream)
            started = time.monotonic()
            stream.start_heartbeat(1.0, 3)
            assert await events.reason() == "timeout"
            assert time.monotonic() - started == pytest.approx(3.5, abs=0.05)
            pings = 0
            while (await peer.frame()).kind is Kind.PING:
                pings += 1
                if pings == 4:
                    break

    run_fast(main())


async def test_a_ping_is_answered_with_its_stamp_and_the_time() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        peer.send(Frame(Kind.PING, key=0x1234_5678, sequence=250))
        pong = await peer.frame(Kind.PONG)
        assert pong.key == 0x1234_5678
        now_ms = int(time.monotonic() * 1000) & 0xFFFF_FFFF
        assert now_ms - pong.destination & 0xFFFF_FFFF < 1000
        assert pair.server_mgr.streams[2].reported_rtt_us == 250


async def test_a_request_carries_its_deadline_in_the_acceptors_clock() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        task = asyncio.create_task(pair.server_mgr.streams[2].request("m", timeout=4.0))
        asked = await peer.frame(Kind.CALL)
        assert asked.flags == FLAG_REQUEST | FLAG_META
        left = asked.deadline - int(time.monotonic() * 1000) & 0xFFFF_FFFF
        assert 3000 < left <= 4001
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_trace_and_epoch_travel_in_the_meta() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        stream: Any = pair.server_mgr.streams[2]
        stream.post(
            int.from_bytes(encode(Frame(Kind.TARGET))[4:12], "little"), 0, b"\x91\xa1m", trace=77, epoch=3
        )
        frame = await peer.frame(Kind.TARGET)
        assert (frame.flags, frame.trace, frame.epoch, frame.deadline) == (FLAG_META | FLAG_EPOCH, 77, 3, 0)
