"""The transport under a stream: opening and ending, buffers, settings; over real sockets, in time that flies."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from luabus.errors import (
    AuthError,
    FrameTooLarge,
    NotConnected,
    Overloaded,
    PeerLost,
    ProtocolError,
    Refused,
    RequestTimeout,
)
from luabus.limits import DEFAULT_STREAM_BUFFER, HANDSHAKE_TIMEOUT_S, STUCK_TIMEOUT_S
from luabus.protocol import codec
from luabus.protocol.frames import HEADER_SIZE, META_SIZE, Frame, Kind, encode, hello
from luabus.protocol.send_buffer import PORTION
from luabus.transport.manager import create_socket_mgr
from luabus.transport.stream import Stream
from tests.support.fast_time import run_fast
from tests.support.raw import RawPeer
from tests.support.streams import Events, Pair
from tests.support.waiting import until


def option(stream: Stream, level: int, name: int) -> int:
    sock = stream.connection.sock()
    assert sock is not None
    return sock.getsockopt(level, name)


# --- settings -------------------------------------------------------------------------------------------------


async def test_set_nodelay_is_on_by_default_and_can_be_switched() -> None:
    async with Pair() as pair:
        for stream in (pair.client, pair.server):
            assert option(stream, socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stream.set_nodelay(False)
            assert not option(stream, socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stream.set_nodelay()
            assert option(stream, socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_set_nodelay_before_the_connection_stands_counts() -> None:
    async with Pair() as pair:
        stream = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        stream.set_nodelay(False)
        await stream.connected()
        assert not option(stream, socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_half_open_links_are_noticed_by_the_kernel_too() -> None:
    async with Pair() as pair:
        assert option(pair.server, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert option(pair.server, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == STUCK_TIMEOUT_S * 1000


async def test_both_ends_know_the_ip_and_have_a_token() -> None:
    async with Pair() as pair:
        assert pair.client.ip == pair.server.ip == "127.0.0.1"
        assert (pair.client.token, pair.server.token) == (1, 1)
        other, other_server, _, _ = await pair.connect()
        assert (other.token, other_server.token) == (2, 2)


@pytest.mark.parametrize("size", [0, 47, (1 << 30) + 1])
async def test_a_buffer_that_cannot_be_is_refused(size: int) -> None:
    async with Pair() as pair:
        for setting in (pair.client.set_send_buffer_size, pair.client.set_recv_buffer_size):
            with pytest.raises(Refused, match=f"a buffer of {size} bytes; 48 to 1073741824 are possible"):
                setting(size)
        with pytest.raises(Refused, match="a time-out of -1 ms; 0 means never"):
            pair.client.set_timeout(-1)


# --- buffers --------------------------------------------------------------------------------------------------


async def test_send_buffer_size_is_64_kib_by_default_and_a_larger_message_cannot_be_sent() -> None:
    async with Pair() as pair:
        assert pair.client.send_limit == DEFAULT_STREAM_BUFFER == 65_536
        with pytest.raises(
            FrameTooLarge, match="the message takes 70032 bytes; at most 65536 can be sent"
        ) as caught:
            pair.client.call("m", bytes(70_000))
        assert (caught.value.size, caught.value.limit) == (70_032, 65_536)
        pair.client.call("m", bytes(65_000))
        assert len((await pair.heard.of("call"))[1]) == 65_000


async def test_one_message_as_large_as_the_buffers_passes_when_both_are_set() -> None:
    async with Pair() as pair:
        pair.client.set_send_buffer_size(4 << 20)
        pair.server.set_recv_buffer_size(4 << 20)
        pair.client.call("m", bytes((4 << 20) - 100))
        assert len((await pair.heard.of("call"))[1]) == (4 << 20) - 100


async def test_recv_buffer_size_ends_a_stream_whose_message_does_not_fit_into_it() -> None:
    async with Pair() as pair:
        pair.server.set_recv_buffer_size(1000)
        pair.client.call("m", bytes(900))
        assert len((await pair.heard.of("call"))[1]) == 900
        pair.client.call("m", bytes(1100))
        reason = await pair.heard.reason()
        assert isinstance(reason.error, FrameTooLarge)
        assert reason == "FrameTooLarge: a frame of 1106 bytes was announced; the limit is 976"
        assert isinstance((await pair.told.reason()).error, FrameTooLarge)  # and the sender is told why


def small_buffers(stream: Stream, peer: RawPeer) -> None:
    """The kernel would take megabytes, and tell us of room only when a third of them is free."""
    for sock in (stream.connection.sock(), peer._writer.get_extra_info("socket")):
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, buffer, 32_768)


async def stuck(peer: RawPeer, stream: Stream) -> int:
    """Send to a peer that reads nothing until it is refused; returns how many bytes the stream took."""
    refused: Overloaded | None = None
    sent = 0
    while refused is None and sent < 100_000_000:
        try:
            stream.call("m", bytes(10_000))
            sent += 10_000
        except Overloaded as error:
            refused = error
        await asyncio.sleep(0)
    assert refused is not None
    assert (refused.what, refused.limit) == ("bytes in the send buffer", stream.send_limit)
    assert refused.current > stream.send_limit - 11_000
    return sent


async def test_a_peer_that_does_not_read_costs_its_buffer_and_gets_the_sender_overloaded() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        stream = pair.server_mgr.streams[2]
        stream.set_send_buffer_size(100_000)
        sent = await stuck(peer, stream)
        assert sent < 90_000_000  # what the kernel's buffers hold, and not one buffer more
        transport = stream.connection.transport
        assert transport is not None
        assert transport.get_write_buffer_size() <= 100_000
        assert stream.is_open
        pair.client.call("others do not notice")
        assert await pair.heard.of("call") == ("others do not notice",)


async def test_a_peer_that_takes_nothing_is_not_waited_for_and_one_that_takes_some_is() -> None:
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        stream = pair.server_mgr.streams[2]
        assert not await stream.wait_writable()  # nothing waits for it
        stream.set_send_buffer_size(100_000)
        await stuck(peer, stream)
        begun = time.monotonic()
        assert await stream.wait_writable()  # it may have been about to
        assert time.monotonic() - begun >= 0.99
        begun = time.monotonic()
        assert not await stream.wait_writable()
        assert time.monotonic() - begun < 0.5
        while stream.is_paused:
            await peer.frame(Kind.CALL)
        assert not await stream.wait_writable()


async def test_what_one_iteration_of_the_loop_sends_goes_out_together() -> None:
    async with Pair() as pair:
        before = pair.server.bytes_in
        for number in range(100):
            pair.client.call("m", number)
        assert pair.server.bytes_in == before
        await pair.heard.of("call", 100)
        assert [entry[1] for entry in pair.heard.calls] == list(range(100))


async def test_of_many_requests_a_portion_goes_out_before_the_others_are_made() -> None:
    async with Pair() as pair:
        pair.server.on_call = lambda msg, number: number
        before = pair.client.bytes_out
        requests = [asyncio.create_task(pair.client.request("m", number)) for number in range(PORTION + 1)]
        written: list[int] = []
        requests[-1].get_loop().call_soon(lambda: written.append(pair.client.bytes_out - before))
        await asyncio.sleep(0)  # all have begun, nothing else was run
        sizes = {len(body) for body in (codec.pack_call("m", (number,)) for number in range(PORTION))}
        assert sizes == {4}
        assert written == [PORTION * (HEADER_SIZE + META_SIZE + 4)]
        assert await asyncio.gather(*requests) == list(range(PORTION + 1))


async def test_of_many_answers_a_portion_goes_out_before_the_others_are_made() -> None:
    async with Pair() as pair:
        written: list[int] = []

        def answer(msg: str, number: int) -> int:
            written.append(pair.server.bytes_out)
            return number

        pair.server.on_call = answer
        asked = [pair.client.request("m", number) for number in range(PORTION - 1)]
        await asyncio.gather(*asked)
        assert len(set(written)) == 1
        written.clear()
        asked = [pair.client.request("m", number) for number in range(PORTION + 1)]
        assert await asyncio.gather(*asked) == list(range(PORTION + 1))
        assert len(set(written)) == 2


async def test_answers_to_a_peer_that_does_not_read_them_do_not_pile_up() -> None:
    """It floods us with requests that are refused: we stop reading until it takes its answers."""
    async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
        pair.server_mgr.switch.routing = True
        stream = pair.server_mgr.streams[2]
        chunk = b"".join(
            encode(Frame(Kind.TARGET, 1, 0, 0x0009_0001, sequence=sequence)) for sequence in range(1, 2001)
        )
        small_buffers(stream, peer)
        flood = asyncio.create_task(_flood(peer, chunk * 10))
        await until(lambda: stream.connection._choked)
        seen = [stream.frames_in]
        await until(lambda: seen.append(stream.frames_in) or (len(seen) > 10 and len(set(seen[-10:])) == 1))
        assert stream.connection._choked
        assert stream.frames_in < 2000 * 10
        transport = stream.connection.transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 2 << 20
        for _ in range(2000 * 10):
            assert (await peer.frame(Kind.ERROR)).kind is Kind.ERROR
        assert not stream.connection._choked
        await flood


async def _flood(peer: RawPeer, data: bytes) -> None:
    peer.write(data)
    await peer.drain()


# --- opening --------------------------------------------------------------------------------------------------


async def test_a_secret_at_both_ends_opens_the_stream() -> None:
    async with Pair(secret=b"a secret of 16 bytes") as pair:
        pair.client.call("m")
        assert await pair.heard.of("call") == ("m",)


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (b"one secret here.", b"another one here", "the peer's secret is not ours"),
        (b"one secret here.", None, "the peer asks for a secret and none was given here"),
        (None, b"another one here", "the peer has no secret, and one is required here"),
    ],
)
async def test_ends_that_do_not_share_the_secret_are_both_told(here: bytes, there: bytes, words: str) -> None:
    server, client = create_socket_mgr(5, secret=there), create_socket_mgr(5, secret=here)
    listener = server.listen("127.0.0.1", 0)
    heard: list[Events] = []
    listener.on_accept = lambda stream: heard.append(Events(stream))
    told = Events(client.connect("127.0.0.1", listener.port))
    (reason,) = await told.of("connect")
    assert reason == f"AuthError: {words}"
    assert isinstance(reason.error, AuthError)
    assert isinstance((await heard[0].reason()).error, AuthError)
    assert [entry[0] for entry in told.log] == ["connect"]
    await client.close()
    await server.close()


async def test_what_was_sent_before_does_not_reach_a_peer_that_fails_the_handshake() -> None:
    """An impostor without the secret learns nothing of what was to be sent."""
    impostor: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
        asyncio.get_running_loop().create_future()
    )
    server = await asyncio.start_server(lambda *ends: impostor.set_result(ends), "127.0.0.1", 0)
    mgr = create_socket_mgr(5, secret=b"a secret of 16 bytes")
    stream = mgr.connect("127.0.0.1", server.sockets[0].getsockname()[1])
    stream.call("log_in", "the password")
    told = Events(stream)
    reader, writer = await impostor
    writer.write(hello(b"n" * 32, secured=False))
    (reason,) = await told.of("connect")
    assert isinstance(reason.error, AuthError)
    everything = await reader.read(-1)
    assert b"password" not in everything
    assert b"AuthError" in everything
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await mgr.close()


V1_HELLO = bytes.fromhex("20000000 01000000 01000000 4c756142 00000000 01000000") + bytes(range(32))


async def test_an_old_peer_is_told_both_versions_and_an_old_acceptor_is_named() -> None:
    async with Pair(secret=b"a secret of 16 bytes") as pair, await RawPeer.dial(pair.listener.port) as peer:
        peer.write(V1_HELLO)
        assert str(await peer.decode_bye()) == "the peer speaks version 1 of the protocol, this end version 2"

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(V1_HELLO)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    mgr = create_socket_mgr(5, secret=b"a secret of 16 bytes")
    told = Events(mgr.connect("127.0.0.1", server.sockets[0].getsockname()[1]))
    assert await told.of("connect") == (
        "ProtocolError: the peer speaks version 1 of the protocol, this end version 2",
    )
    await mgr.close()
    server.close()
    await server.wait_closed()


async def test_calls_before_the_stream_is_open_go_out_when_it_is() -> None:
    async with Pair() as pair:
        accepted: list[Events] = []
        pair.listener.on_accept = lambda stream: accepted.append(Events(stream))
        stream = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        assert stream.ip == ""
        for number in range(3):
            stream.call("early", number)
        await stream.connected()
        await accepted[0].of("call", 3)
        assert accepted[0].calls == [("early", 0), ("early", 1), ("early", 2)]


async def test_calls_before_the_stream_is_open_are_bounded_too() -> None:
    async with Pair() as pair:
        stream = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        for _ in range(64):
            stream.call("early", bytes(950))
        with pytest.raises(Overloaded):
            stream.call("early", bytes(5000))
        await stream.connected()


# --- time-outs ------------------------------------------------------------------------------------------------


def test_a_peer_that_does_not_shake_hands_is_cut_off() -> None:
    async def main() -> None:
        mgr = create_socket_mgr(5)
        listener = mgr.listen("127.0.0.1", 0)
        accepted: list[Events] = []
        listener.on_accept = lambda stream: accepted.append(Events(stream))
        async with await RawPeer.dial(listener.port) as peer:
            started = time.monotonic()
            assert await peer.ended()
            assert time.monotonic() - started == pytest.approx(HANDSHAKE_TIMEOUT_S, abs=0.1)
            reason = await accepted[0].reason()
            assert (reason, type(reason.error)) == ("ProtocolError: no handshake within 5 s", ProtocolError)
        await mgr.close()

    run_fast(main())


def test_set_timeout_breaks_a_stream_on_which_nothing_is_received() -> None:
    async def main() -> None:
        async with Pair() as pair:
            pair.server.set_timeout(700)
            started = time.monotonic()
            for _ in range(5):  # what is received puts it off
                await asyncio.sleep(0.5)
                pair.client.call("m")
            reason = await pair.heard.reason()
            assert reason == "timeout"
            assert isinstance(reason.error, RequestTimeout)
            assert str(reason.error) == "nothing was received for 700 ms"
            assert time.monotonic() - started == pytest.approx(5 * 0.5 + 0.7, abs=0.05)
            assert await pair.told.of("error")

    run_fast(main())


@pytest.mark.parametrize("switch_off", [None, 0])
def test_without_set_timeout_a_silent_stream_stays_for_ever(switch_off: int | None) -> None:
    async def main() -> None:
        async with Pair() as pair:
            if switch_off is not None:
                pair.server.set_timeout(500)
                pair.server.set_timeout(switch_off)
            await asyncio.sleep(86_400)
            pair.client.call("still here")
            assert await pair.heard.of("call") == ("still here",)

    run_fast(main())


def test_a_peer_that_takes_nothing_for_ten_seconds_is_cut_off() -> None:
    async def main() -> None:
        async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
            stream = pair.server_mgr.streams[2]
            events = Events(stream)
            stream.set_send_buffer_size(200_000)
            await stuck(peer, stream)
            started = time.monotonic()
            reason = await events.reason()
            assert isinstance(reason.error, Overloaded)
            assert "the peer read nothing for 10 s while" in reason
            assert time.monotonic() - started <= 2 * STUCK_TIMEOUT_S + 0.1

    run_fast(main())


def test_a_peer_that_reads_slowly_is_not_cut_off() -> None:
    async def main() -> None:
        async with Pair() as pair, await RawPeer.open(pair.listener.port) as peer:
            stream = pair.server_mgr.streams[2]
            small_buffers(stream, peer)
            stream.set_send_buffer_size(200_000)
            for _ in range(10):
                await stuck(peer, stream)
                await asyncio.sleep(4.0)
                for _ in range(10):
                    await peer.frame(Kind.CALL)
            assert stream.is_open

    run_fast(main())


# --- ending ---------------------------------------------------------------------------------------------------


async def test_close_sends_what_was_sent_before_and_calls_no_callback() -> None:
    async with Pair() as pair:
        pair.client.call("last words", bytes(50_000))
        pair.client.close()
        reason = await pair.heard.reason()
        assert (reason, type(reason.error)) == ("closed by peer", PeerLost)
        assert [entry[0] for entry in pair.heard.calls] == ["last words"]
        await pair.client.closed()
        assert [entry[0] for entry in pair.told.log] == ["connect"]
        pair.client.close()


async def test_after_close_nothing_that_came_before_it_is_handed_out_any_more() -> None:
    async with Pair() as pair:
        pair.server.on_call = lambda *args: (calls.append(args), pair.server.close())
        calls: list[tuple[object, ...]] = []
        for number in range(5):
            pair.client.call("m", number)
        await pair.told.reason()
        assert calls == [("m", 0)]


@pytest.mark.parametrize("use", [lambda s: s.call("m"), lambda s: s.forward_random(2, "m")])
async def test_a_closed_stream_takes_nothing(use: Callable[[Stream], None]) -> None:
    async with Pair() as pair:
        pair.client.close()
        with pytest.raises(NotConnected, match="the stream is closed"):
            use(pair.client)
        with pytest.raises(NotConnected):
            await pair.client.connected()
        assert not pair.client.is_open


async def test_a_connection_that_is_reset_is_peer_lost_with_the_reason() -> None:
    async with Pair() as pair:
        transport = pair.client.connection.transport
        assert transport is not None
        sock = pair.client.connection.sock()
        assert sock is not None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        transport.abort()
        reason = await pair.heard.reason()
        assert isinstance(reason.error, PeerLost)
        assert reason.error.peer == "127.0.0.1"
        assert reason.error.reason == reason
