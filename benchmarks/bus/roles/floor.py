"""Bare sockets: what a round trip costs when nobody does anything but hand bytes on.

Two hops: client and echo. Four hops: client, relay, echo, as a round trip through any router has.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from benchmarks.bus.roles.timing import round_trips
from benchmarks.child import Control


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _Relay(asyncio.Protocol):
    """Hands on what comes to the other of a pair."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Relay | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        assert self.other.transport is not None
        self.other.transport.write(data)


async def echo(control: Control, *, port: int) -> None:
    """Sends back what it gets."""
    server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", port)
    await control.aserve({})
    server.close()


async def relay(control: Control, *, port: int, to: int) -> None:
    """Stands between the client and the echo."""
    loop = asyncio.get_running_loop()
    _, far = await loop.create_connection(_Relay, "127.0.0.1", to)

    def accept() -> _Relay:
        near = _Relay()
        near.other, far.other = far, near
        return near

    server = await loop.create_server(accept, "127.0.0.1", port)
    await control.aserve({})
    server.close()


class _Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.left = 0
        self.done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def run(self, count: int, message: bytes) -> asyncio.Future[None]:
        self.latencies = []
        self.left = count
        self.message = message
        self.done = asyncio.get_running_loop().create_future()
        self._sent = time.perf_counter()
        self._transport.write(message)
        return self.done

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.latencies.append(now - self._sent)
        self.left -= 1
        if self.left:
            self._sent = now
            self._transport.write(self.message)
        elif self.done is not None:
            self.done.set_result(None)


async def client(control: Control, *, port: int) -> None:
    """One message to and fro at a time, of the size that a request of luabus has on the wire."""
    _, protocol = await asyncio.get_running_loop().create_connection(_Client, "127.0.0.1", port)

    async def requests(count: int, size: int, inflight: int) -> dict[str, Any]:
        assert inflight == 1
        started = time.perf_counter()
        await protocol.run(count, bytes(size + 48))
        return round_trips(time.perf_counter() - started, protocol.latencies)

    await control.aserve({"requests": requests})
