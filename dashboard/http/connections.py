"""Connections: how many there may be, how long each may take over a request, and which goes when there are too many.

Whoever connects and sends nothing, half a header, or a body that never comes costs a descriptor, and needs no token for it. So
each of these has a time, and there are fewer connections than descriptors: one more, and the one that has waited longest
without a whole request gives way. Who sends a whole request at once is never in that place.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from dashboard.http.headers import HEADERS
from dashboard.http.problems import ApiError, response
from luabus import descriptors
from luabus.messages import Message

log = logging.getLogger("dashboard.connections")

MOST_CONNECTIONS: Final = 1024
"""Or as many as there are descriptors for."""
HEADER_S: Final = 10.0
"""From a connection, or the first byte of a further request, to the end of its header; also for the TLS hand-shake."""
IDLE_S: Final = 75.0
"""Between two requests; more than the 60 s for which nginx keeps its connections."""
READ_S: Final = 600.0
"""For the rest of an answer, on a slow line."""
LOOK_EVERY_S: Final = 1.0
AGAIN_S: Final = 60.0
"""What is told of a flood is told again after so long."""
TROUBLE_S: Final = 0.1
"""Pause after an accept that failed, for want of descriptors or memory."""

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Visitor(web.RequestHandler):
    """One connection. `since` is when it began to wait for what it waits for: the next request, or the rest of one."""

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._connections = connections
        self._served: web.BaseRequest | None = None
        self._patience_s = HEADER_S
        self.since = connections.now()
        self.entering: asyncio.Task[None] | None = None

    @property
    def waits(self) -> bool:
        """Whether no whole request has come that is not answered yet."""
        return self._served is None or not self._served.content.is_eof()

    def overdue(self, now: float) -> bool:
        """Whether it has taken too long over what it is about."""
        if self._served is not None:
            return False
        is_reading = self.transport is not None and self.transport.get_write_buffer_size() > 0
        return now - self.since > (READ_S if is_reading else self._patience_s)

    def serve(self, request: web.BaseRequest) -> None:
        """A header is there."""
        self._served = request

    def served(self) -> None:
        """It is answered: the next one may come, and its header."""
        self._served = None
        self.since = self._connections.now()
        self._patience_s = IDLE_S

    def end(self) -> None:
        """Ends the connection now."""
        if self.transport is not None:
            self.transport.abort()
        elif self.entering is not None:
            self.entering.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._served is None and self._patience_s == IDLE_S:
            self.since = self._connections.now()
            self._patience_s = HEADER_S
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what is no HTTP. A stranger's mistake is not worth a line of the log."""
        if status >= 500:
            result = super().handle_error(request, status, exc, message)
        else:
            if request.writer.output_size > 0:
                raise ConnectionError("an answer was begun already")
            log.debug("no HTTP from %s: %s", request.remote, exc)
            result = response(ApiError(status, Message.verbatim(message or "Bad Request")), "")
            result.force_close()
        result.headers.update(HEADERS)
        return result


@web.middleware
async def attended(request: web.Request, handler: Next) -> web.StreamResponse:
    """Tells the connection what it is busy with."""
    visitor = request.protocol
    if not isinstance(visitor, Visitor):
        return await handler(request)
    visitor.serve(request)
    try:
        return await handler(request)
    finally:
        visitor.served()


class Connections:
    """Accepts at one listening socket. `options` are those of aiohttp's `RequestHandler`."""

    def __init__(
        self,
        server: web.Server,
        most: int | None = None,
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        self.now = asyncio.get_running_loop().time
        self._server = server
        self._most = descriptors.room(MOST_CONNECTIONS) if most is None else most
        self._tls = tls
        self._options = options
        self._present: dict[Visitor, None] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._told_at = float("-inf")
        self._turned_away = 0

    def __len__(self) -> int:
        return len(self._present)

    def start(self, listening: socket.socket) -> None:
        """Accepts from now on."""
        listening.setblocking(False)
        for work in (self._accept(listening), self._end_overdue()):
            self._tasks.append(asyncio.create_task(work, name="dashboard connections"))

    async def stop(self) -> None:
        """Accepts no more; those that are there stay, but for TLS hand-shakes under way."""
        entering = [
            visitor.entering for visitor in self._present if visitor.transport is None and visitor.entering
        ]
        for task in (*self._tasks, *entering):
            task.cancel()
        await asyncio.gather(*self._tasks, *entering, return_exceptions=True)

    def leave(self, visitor: Visitor) -> None:
        """It has ended."""
        self._present.pop(visitor, None)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._tell(f"connections cannot be accepted: {error.strerror}")
                self._make_room()
                await asyncio.sleep(TROUBLE_S)
                continue
            if len(self._present) >= self._most and not self._make_room():
                connection.close()
                await asyncio.sleep(0)
                continue
            visitor = Visitor(self, self._server, **self._options)
            self._present[visitor] = None
            visitor.entering = asyncio.create_task(self._enter(visitor, connection))
            await asyncio.sleep(0)  # a flood is accepted between others' turns, not instead of them

    async def _enter(self, visitor: Visitor, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: visitor,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=HEADER_S if self._tls else None,
            )
        except OSError as error:  # also a hand-shake that failed or took too long
            log.debug("a connection came to nothing: %s", error)
        finally:
            if visitor.transport is None:
                self.leave(visitor)
                connection.close()

    def _make_room(self) -> bool:
        """Ends the connection that has waited longest; False when each is busy with a request."""
        oldest = min(
            (visitor for visitor in self._present if visitor.waits),
            key=lambda visitor: visitor.since,
            default=None,
        )
        self._turned_away += 1
        self._tell(
            f"{len(self._present)} connections, more are not allowed: who waits longest without a whole request is turned away"
        )
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.end()
        return True

    async def _end_overdue(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = self.now()
            for visitor in [visitor for visitor in self._present if visitor.overdue(now)]:
                visitor.end()

    def _tell(self, text: str) -> None:
        now = self.now()
        if now - self._told_at < AGAIN_S:
            return
        self._told_at = now
        log.warning("%s (%d until now)", text, self._turned_away)
