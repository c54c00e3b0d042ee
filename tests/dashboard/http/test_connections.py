"""Connections that take their time, and too many of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from dashboard.http import connections as module
from dashboard.http.connections import Connections, attended
from dashboard.http.headers import HEADERS
from tests.support.waiting import until

HALF_HEADER = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALF_BODY = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
FOLLOW = b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Connect = Callable[[bytes], "asyncio.Future[tuple[Reader, Writer]]"]


class Door:
    def __init__(self, connections: Connections, port: int) -> None:
        self.connections = connections
        self.port = port
        self._writers: list[Writer] = []

    async def connect(self, sent: bytes = b"") -> Reader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        writer.write(sent)
        return reader

    async def get(self) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/") as answer,
        ):
            return answer.status

    async def count(self, wanted: int) -> None:
        await until(lambda: len(self.connections) == wanted, 5.0, f"{wanted} connections")

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def door(most: int = 6) -> AsyncIterator[Door]:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def body(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def follow(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await asyncio.Event().wait()
        return answer

    app = web.Application(middlewares=[attended])
    app.router.add_get("/", hello)
    app.router.add_post("/body", body)
    app.router.add_get("/follow", follow)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    made = Connections(runner.server, most, access_log=None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made.start(listening)
        opened = Door(made, listening.getsockname()[1])
        try:
            yield opened
        finally:
            await made.stop()
            opened.close()
            await runner.cleanup()
            await opened.count(0)


@pytest.mark.parametrize(
    "sent", [b"", HALF_HEADER, HALF_BODY], ids=["silent", "half a header", "half a body"]
)
async def test_whoever_says_nothing_whole_keeps_nobody_out(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with door(most=6) as opened:
        for _ in range(40):
            await opened.connect(sent)
        for _ in range(5):
            assert await asyncio.wait_for(opened.get(), 1) == 200
        assert len(opened.connections) <= 6
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "connections, more are not allowed" in warnings[0].message


async def test_the_one_that_waits_longest_goes_first() -> None:
    async with door(most=3) as opened:
        readers = [await opened.connect() for _ in range(3)]
        await opened.count(3)
        await opened.connect()
        assert await asyncio.wait_for(readers[0].read(), 1) == b""
        assert not readers[1].at_eof()
        assert not readers[2].at_eof()


async def test_who_is_being_answered_stays_and_further_ones_are_turned_away() -> None:
    async with door(most=3) as opened:
        readers = [await opened.connect(FOLLOW) for _ in range(3)]
        for reader in readers:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        late = await opened.connect(GET)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(late.read(), 1) == b""
        assert len(opened.connections) == 3


@pytest.mark.parametrize("sent", [b"", HALF_HEADER, GET + HALF_HEADER])
async def test_a_header_has_its_time(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(module, "HEADER_S", 0.05)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(module, "IDLE_S", 0.3)
    async with door() as opened:
        reader = await opened.connect(sent)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 3)
        await opened.count(0)


async def test_between_requests_a_connection_may_be_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEADER_S", 0.03)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    async with door() as opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        for _ in range(3):
            writer.write(GET)
            await asyncio.wait_for(reader.readuntil(b"hello"), 1)
            await asyncio.sleep(0.1)
        assert len(opened.connections) == 1
        writer.close()


async def test_what_is_no_http_is_answered_with_all_headers(caplog: pytest.LogCaptureFixture) -> None:
    async with door() as opened:
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
            b"GET / HTTP/9.9 what\r\n\r\n",
            b"GET /\r\n: :\r\n\r\n",
        ):
            reader = await opened.connect(garbage)
            answer = (await asyncio.wait_for(reader.read(), 2)).decode()
            assert answer.startswith(("HTTP/1.0 400 ", "HTTP/1.1 400 "))
            for name, value in HEADERS.items():
                assert f"{name}: {value}\r\n" in answer
            assert "application/problem+json" in answer
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_without_descriptors_nothing_spins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TROUBLE_S", 0.05)
    async with door() as opened:
        loop = asyncio.get_running_loop()
        accept, failed = loop.sock_accept, []

        async def out_of_them(listening: socket.socket) -> tuple[socket.socket, object]:
            accepted = await accept(listening)
            if len(failed) < 3:
                failed.append(accepted[0].close())
                raise OSError(24, "Too many open files")
            return accepted

        monkeypatch.setattr(loop, "sock_accept", out_of_them)
        await opened.connect()  # the accept that waits already
        for _ in range(3):
            await opened.connect()
        assert await asyncio.wait_for(opened.get(), 3) == 200
        assert len(failed) == 3
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "Too many open files" in told[0]
