"""Managers: in a plain loop with `wait`, inside asyncio, and what listening and connecting can run into."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from luabus.errors import AuthError, ConfigError, NotConnected, Refused, RequestTimeout
from luabus.protocol.principal import CLIENT, Principal
from luabus.transport.manager import SocketMgr, create_socket_mgr, new_event_loop
from luabus.transport.security import Security
from luabus.transport.stream import Subscribers
from tests.support.fast_time import run_fast
from tests.support.game import Game
from tests.support.imports import ROOT
from tests.support.streams import Events, Pair


@pytest.fixture(scope="module", autouse=True)
def libuv_pipe() -> None:
    """With its first loop libuv makes a pipe for signals, and keeps it as long as the process lives."""
    loop = new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


class BlackHole:
    """An address where connecting never ends: a listener whose queue is full."""

    def __enter__(self) -> int:
        self.sockets = [socket.socket()]
        self.sockets[0].bind(("127.0.0.1", 0))
        self.sockets[0].listen(0)
        address = self.sockets[0].getsockname()
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            self.sockets.append(one)
        return int(address[1])

    def __exit__(self, *exc: object) -> None:
        for one in self.sockets:
            one.close()


# --- mgr.wait: a main loop of the user's own ------------------------------------------------------------------


def test_wait_drives_everything_and_returns_the_number_of_events() -> None:
    with Game() as game:
        handled = game.frames(until=("connect", "ok"))
        game.stream.call("hello", 1)
        handled += game.frames(until=("told", "back", 1))
        assert sorted(map(str, game.log)) == sorted(
            map(str, [("accept",), ("connect", "ok"), ("hello", 1), ("told", "back", 1)])
        )
        assert handled == 4


def test_wait_returns_when_its_time_is_over_and_early_when_something_happened() -> None:
    with Game() as game:
        game.frames(until=("connect", "ok"))
        started = time.monotonic()
        assert game.server.wait(50) == 0
        assert 0.045 <= time.monotonic() - started < 1.0
        assert game.server.wait(0) == 0
        game.stream.call("hello")
        game.client.wait(0)
        started = time.monotonic()
        assert game.server.wait(5000) == 1
        assert time.monotonic() - started < 2.0


@pytest.mark.parametrize("ms", [0, 1])
def test_a_wait_that_found_something_takes_nothing_from_the_next(ms: int) -> None:
    with Game() as game:
        game.frames(until=("connect", "ok"))
        for number in range(5):
            game.stream.call("hello", number)
            game.client.wait(0)
            game.frames(until=("hello", number), ms=ms)
        started = time.monotonic()
        assert game.server.wait(50) == 0
        assert time.monotonic() - started >= 0.045


def test_wait_before_anything_listens_is_allowed() -> None:
    mgr = create_socket_mgr(1)
    assert mgr.wait(0) == 0
    mgr.shutdown()
    mgr.shutdown()


def test_requests_and_routing_work_in_a_plain_loop_too() -> None:
    with Game() as game:
        game.frames(until=("connect", "ok"))
        (server,) = game.server.streams.values()
        game.server.register("2.1", server.token)
        game.stream.forward_target("2.1", "to myself", 7)
        game.frames(until=("told", "to myself", 7))


def test_a_game_loop_as_a_program_of_its_own() -> None:
    """What the README shows: no asyncio in sight, and a clean end."""
    program = """
        import luabus
        mgr = luabus.create_socket_mgr(10)
        calls = []
        listener = mgr.listen("127.0.0.1", 0, backlog=16)
        def on_accept(stream):
            stream.on_call = lambda msg, *args: calls.append((msg, *args))
        listener.on_accept = on_accept
        stream = mgr.connect("127.0.0.1", listener.port, 1000)
        stream.on_connect = lambda result: stream.call("hit", 3) if result == "ok" else exit(result)
        frames = 0
        while not calls:
            mgr.wait(16)
            frames += 1
            assert frames < 1000
        print(calls)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, cwd=ROOT, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "[('hit', 3)]"), done.stderr


# --- listen and connect ---------------------------------------------------------------------------------------


async def test_a_port_in_use_is_an_os_error_that_names_it() -> None:
    async with Pair() as pair:
        port = pair.listener.port
        with pytest.raises(
            OSError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"
        ) as caught:
            pair.client_mgr.listen("127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
        assert not pair.client_mgr.listeners


async def test_an_address_that_is_not_ours_is_an_os_error_that_names_it() -> None:
    mgr = create_socket_mgr(1)
    with pytest.raises(OSError, match=r"cannot listen at 192\.0\.2\.1:0: "):
        mgr.listen("192.0.2.1", 0)
    await mgr.close()


async def test_ipv6() -> None:
    server, client = create_socket_mgr(2), create_socket_mgr(2)
    listener = server.listen("::1", 0)
    stream = client.connect("::1", listener.port)
    await stream.connected()
    assert (listener.ip, stream.ip) == ("::1", "::1")
    await client.close()
    await server.close()


async def test_connecting_to_nobody_is_said_and_on_connect_gets_the_reason() -> None:
    mgr = create_socket_mgr(2)
    with socket.socket() as bound:  # bound but not listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        stream = mgr.connect("127.0.0.1", port, 2000)
        events = Events(stream)
        (reason,) = await events.of("connect")
        assert reason == "Connection refused"
        assert isinstance(reason.error, NotConnected)
        assert str(reason.error) == f"127.0.0.1:{port}: Connection refused"
        assert [entry[0] for entry in events.log] == ["connect"]
        assert not mgr.streams
    await mgr.close()


def test_connecting_has_a_time_out_in_ms() -> None:
    async def main() -> None:
        mgr = create_socket_mgr(2)
        with BlackHole() as port:
            started = time.monotonic()
            stream = mgr.connect("127.0.0.1", port, timeout_ms=1500)
            (reason,) = await Events(stream).of("connect")
            assert time.monotonic() - started == pytest.approx(1.5, abs=0.05)
            assert reason == "timeout"
            assert isinstance(reason.error, RequestTimeout)
            assert str(reason.error) == f"no connection to 127.0.0.1:{port} within 1.5 s"
            assert not mgr.streams
            await mgr.close()

    run_fast(main())


async def test_connecting_to_one_that_accepts_and_says_nothing_is_a_time_out_too() -> None:
    mgr = create_socket_mgr(2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        stream = mgr.connect("127.0.0.1", silent.getsockname()[1], timeout_ms=50)
        (reason,) = await Events(stream).of("connect")
        assert reason == "timeout"
        await mgr.close()


async def test_connecting_to_something_else_than_luabus_is_said() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2 and more\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    mgr = create_socket_mgr(2)
    stream = mgr.connect("127.0.0.1", server.sockets[0].getsockname()[1])
    (reason,) = await Events(stream).of("connect")
    assert "the first bytes are not luabus: 53 53 48" in reason
    server.close()
    await server.wait_closed()
    await mgr.close()


# --- max_connections ------------------------------------------------------------------------------------------


async def test_max_connections_counts_connected_streams_too() -> None:
    async with Pair() as pair:
        mgr = create_socket_mgr(1)
        mgr.connect("127.0.0.1", pair.listener.port)
        with pytest.raises(Refused, match="all 1 connections of this manager are in use"):
            mgr.connect("127.0.0.1", pair.listener.port)
        await mgr.close()


@pytest.mark.parametrize("number", [0, -1])
def test_a_manager_of_no_connections_is_refused(number: int) -> None:
    with pytest.raises(ConfigError, match=f"max_connections is {number}; at least 1 is needed"):
        create_socket_mgr(number)


@pytest.mark.parametrize("secret", ["", b"", "x", b"fifteen bytes.."])
async def test_a_short_secret_is_refused(secret: bytes | str) -> None:
    with pytest.raises(ConfigError, match="give at least 16 bytes"):
        create_socket_mgr(1, secret=secret)
    mgr = create_socket_mgr(1)
    with pytest.raises(ConfigError, match="give at least 16 bytes"):
        mgr.connect("127.0.0.1", 1, secret=secret)
    assert not mgr.streams
    await mgr.close()


async def test_a_stream_proves_what_it_is_given_and_else_what_the_manager_has() -> None:
    secret, other = b"the secret of this manager", b"the secret of another one"
    mail = Principal("service", "mail")
    seen: list[Principal] = []
    subscribers = Subscribers(opened=lambda stream: seen.append(stream.principal))
    theirs = SocketMgr(9, security=Security.of(other), subscribers=subscribers)
    ours = create_socket_mgr(9, secret=secret)
    at_home, abroad = ours.listen("127.0.0.1", 0).port, theirs.listen("127.0.0.1", 0).port
    await ours.connect("127.0.0.1", at_home).connected()
    await ours.connect("127.0.0.1", abroad, secret=other).connected()
    await ours.connect("127.0.0.1", abroad, key=Security.of(other).key_line(mail)).connected()
    assert seen == [CLIENT, mail]
    for options in ({}, {"secret": secret}, {"key": Security.of(secret).key_line(mail)}):
        with pytest.raises(AuthError):
            await ours.connect("127.0.0.1", abroad, **options).connected()
    with pytest.raises(ConfigError, match="the key is not one line such as"):
        ours.connect("127.0.0.1", abroad, key="service:mail")
    for mgr in (ours, theirs):
        await mgr.close()


# --- tokens and closing ---------------------------------------------------------------------------------------


async def test_a_token_names_one_stream_and_is_not_given_again_soon() -> None:
    async with Pair() as pair:
        stream, _, _, _ = await pair.connect()
        token = stream.token
        assert pair.client_mgr.streams[token] is stream
        stream.close()
        await stream.closed()
        assert token not in pair.client_mgr.streams
        again, _, _, _ = await pair.connect()
        assert again.token == token + 1


async def test_tokens_begin_anew_at_24_bits_and_pass_over_those_in_use() -> None:
    async with Pair() as pair:
        pair.client_mgr._next_token = 0xFF_FFFE
        last, _, _, _ = await pair.connect()
        after, _, _, _ = await pair.connect()
        assert (last.token, after.token) == (0xFF_FFFF, 2)  # 1 is the pair's own


@pytest.mark.parametrize("wait", [False, True])
async def test_closing_while_a_stream_connects_ends_it(wait: bool) -> None:
    with BlackHole() as port:
        mgr = create_socket_mgr(2)
        stream = mgr.connect("127.0.0.1", port, 60_000)
        if wait:
            for _ in range(5):
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await mgr.close()
        assert not mgr.streams
        assert not stream.is_open


async def test_closing_a_manager_twice_and_one_that_did_nothing() -> None:
    mgr = create_socket_mgr(2)
    await mgr.close()
    await mgr.close()


def test_a_manager_in_a_thread_of_its_own() -> None:
    """Each manager belongs to the thread that first used it: a game's network thread, say."""
    done = threading.Event()
    result: list[int] = []

    def run() -> None:
        with Game() as game:
            result.append(game.frames(until=("connect", "ok")))
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert done.is_set()
    assert result == [2]
