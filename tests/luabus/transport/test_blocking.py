"""Requests without an event loop, to a real stream in another thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from luabus.errors import (
    AuthError,
    ConfigError,
    LuabusError,
    NotConnected,
    ProtocolError,
    Refused,
    RequestTimeout,
)
from luabus.protocol.principal import Principal
from luabus.transport.blocking import Conversation
from luabus.transport.manager import SocketMgr, create_socket_mgr
from luabus.transport.security import Security
from luabus.transport.stream import Stream, Subscribers

SECRET = b"a secret of sixteen bytes"


async def talk(
    work: Callable[[str, int], Any], answer: Callable[..., Any], secret: bytes | None = SECRET
) -> Any:
    """What `work(host, port)` returns, run in a thread, while a stream manager answers here."""
    mgr = create_socket_mgr(10, secret=secret)
    streams: list[Stream] = []

    def accepted(stream: Stream) -> None:
        streams.append(stream)
        stream.set_recv_buffer_size(1 << 20)
        stream.set_send_buffer_size(1 << 20)
        stream.on_call = answer

    listener = mgr.listen("127.0.0.1", 0)
    listener.on_accept = accepted
    try:
        return await asyncio.to_thread(work, "127.0.0.1", listener.port)
    finally:
        await mgr.close()


def echo(msg: str, *args: Any) -> Any:
    if msg == "refuse":
        raise Refused("not today")
    return [msg, *args]


@pytest.mark.parametrize("secret", [SECRET, None])
async def test_several_requests_are_answered_one_after_another(secret: bytes | None) -> None:
    def work(host: str, port: int) -> list[Any]:
        with Conversation(host, port, secret) as peer:
            return [
                peer.request("one", 1),
                peer.request("two", "x", None),
                peer.request("big", bytes(900_000)),
            ]

    one, two, big = await talk(work, echo, secret)
    assert (one, two) == (["one", 1], ["two", "x", None])
    assert len(big[1]) == 900_000


async def test_the_other_ends_errors_are_raised() -> None:
    def work(host: str, port: int) -> Any:
        with Conversation(host, port, SECRET) as peer:
            with pytest.raises(Refused, match="not today"):
                peer.request("refuse")
            return peer.request("and on")

    assert await talk(work, echo) == ["and on"]


async def test_another_secret_is_an_auth_error() -> None:
    def work(host: str, port: int) -> None:
        with pytest.raises(AuthError):
            Conversation(host, port, b"another secret of sixteen")

    await talk(work, echo)


async def test_nobody_who_answers_is_a_time_out() -> None:
    async def never(msg: str) -> None:
        await asyncio.Event().wait()

    def work(host: str, port: int) -> None:
        with Conversation(host, port, SECRET) as peer, pytest.raises(RequestTimeout):
            peer.request("wait", timeout=0.05)

    await talk(work, never)


def test_nobody_there_is_not_connected(free_port: int) -> None:
    with pytest.raises(NotConnected, match=f"127.0.0.1:{free_port}: "):
        Conversation("127.0.0.1", free_port)


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"", NotConnected), (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError), (None, RequestTimeout)],
)
def test_somebody_else_there(said: bytes | None, error: type[LuabusError]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                if said is None:
                    done.wait()
                else:
                    peer.recv(1024)
                    peer.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(error):
            Conversation("127.0.0.1", server.getsockname()[1], timeout=0.2 if said is None else 5.0)
        done.set()
        thread.join()


@pytest.mark.parametrize("secret", ["", b"x", b"fifteen bytes.."])
def test_a_short_secret_is_refused_before_it_connects(secret: bytes | str) -> None:
    with pytest.raises(ConfigError, match="give at least 16 bytes"):
        Conversation("127.0.0.1", 1, secret)


async def test_it_says_who_it_is_and_takes_whom_it_wants() -> None:
    seen: list[Principal] = []
    mgr = SocketMgr(
        9,
        security=Security.of(SECRET, Principal("launcher", "demo")),
        subscribers=Subscribers(opened=lambda stream: seen.append(stream.principal)),
    )
    port = mgr.listen("127.0.0.1", 0).port
    key = Security.of_key(Security.of(SECRET).key_line(Principal("service", "dashboard")))
    await asyncio.to_thread(lambda: Conversation("127.0.0.1", port, SECRET).__exit__(None, None, None))
    for security in (Security.of(SECRET).to("launcher"), key.to("launcher", "demo")):
        await asyncio.to_thread(
            lambda security=security: Conversation("127.0.0.1", port, security=security).__exit__(
                None, None, None
            )
        )
    assert seen == [Principal("admin"), Principal("admin"), Principal("service", "dashboard")]
    with pytest.raises(AuthError, match=f"router is wanted at 127.0.0.1:{port}, and there is launcher:demo"):
        await asyncio.to_thread(Conversation, "127.0.0.1", port, security=Security.of(SECRET).to("router"))
    await mgr.close()


async def test_through_a_relay_it_gets_nowhere() -> None:
    mgr = SocketMgr(9, security=Security.of(SECRET, Principal("router", "router.1")))
    port = mgr.listen("127.0.0.1", 0).port

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        forth.write(await reader.read(4096))
        writer.write(await back.read(4096))
        await back.read()
        for end in (writer, forth):
            end.close()
            await end.wait_closed()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    at = server.sockets[0].getsockname()[1]
    with pytest.raises(
        AuthError, match=f"made to 127.0.0.1:{at} and has come to 127.0.0.1:{port}: somebody passes it on"
    ):
        await asyncio.to_thread(Conversation, "127.0.0.1", at, SECRET)
    server.close()
    await server.wait_closed()
    await mgr.close()
