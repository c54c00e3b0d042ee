"""A TCP proxy of our own between two ends of the bus: it can stall, cut, delay, and garble what goes through it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

from luabus.router.server import Router


class Proxy:
    """Listens at `port` and carries bytes to and from a router, which advertises it. `async with Proxy(router) as proxy`.

    `stall()` holds everything back (the connections stay: a frozen peer, or a network that drops packets), `go_on()` lets it
    pass again; `cut()` breaks every connection now, `refuse()` new ones too. `change` may alter the bytes on their way there.
    """

    def __init__(self, router: Router, *, delay_s: float = 0.0) -> None:
        self.port = 0
        self.connections = 0
        self.change: Callable[[bytes], bytes] | None = None
        self._router = router
        self._delay_s = delay_s
        self._server: asyncio.Server
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        mgr = self._router.mgr
        mgr.security = mgr.security._replace(advertised=(*mgr.security.advertised, f"127.0.0.1:{self.port}"))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def stall(self) -> None:
        self._flowing.clear()

    def go_on(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def refuse(self, refusing: bool = True) -> None:
        """Cut what there is and, while `refusing`, what comes."""
        self._refusing = refusing
        if refusing:
            self.cut()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._router.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, forth}
        for source, sink, change in ((reader, forth, True), (back, writer, False)):
            task = asyncio.create_task(self._carry(source, sink, change))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, change: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                sink.write(self.change(data) if change and self.change is not None else data)
                await sink.drain()
        sink.close()
        with contextlib.suppress(OSError):
            await sink.wait_closed()
