"""A listening socket: connections accepted, or refused when there are too many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Protocol, cast

from luabus.transport.affinity import LoopAffinity
from luabus.transport.stream import Stream


class ListenerOwner(Protocol):
    """What a listener needs of the manager that it belongs to."""

    affinity: LoopAffinity
    """Where it may be used."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that drives all."""

    def has_place(self) -> bool:
        """Whether one more connection may be accepted."""

    def accepted_stream(self, made: Callable[[Any], None]) -> Stream:
        """The stream of a connection that was accepted. `made(stream)` is called when it stands."""

    def event(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call a user's callback; what it raises is logged."""

    def stopped_listening(self, listener: Listener) -> None:
        """A listener is closed."""


class Listener:
    """A listening socket. Set `on_accept(stream)`; `port` is the real one when 0 was asked for."""

    def __init__(self, mgr: ListenerOwner, sock: socket.socket) -> None:
        self._mgr = mgr
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._closed = False
        self.ip: str = sock.getsockname()[0]
        self.port: int = sock.getsockname()[1]
        self.on_accept: Callable[[Stream], Any] | None = None

    async def start(self, backlog: int) -> None:
        """Begin to accept; `SocketMgr.listen` does."""
        if self._closed:
            return
        self._server = await self._mgr.loop.create_server(self._accept, sock=self._sock, backlog=backlog)
        if self._closed:
            self._server.close()

    def fileno(self) -> int:
        """The listening socket's descriptor; -1 when it is closed."""
        return self._sock.fileno()

    def _accept(self) -> asyncio.Protocol:
        mgr = self._mgr
        if not mgr.has_place():
            return _Refuse()
        return mgr.accepted_stream(self._accepted).connection

    def _accepted(self, stream: Stream) -> None:
        if self.on_accept is not None:
            self._mgr.event(self.on_accept, stream)

    def close(self) -> None:
        """Accept no more; the streams accepted so far stay."""
        if self._closed:
            return
        self._mgr.affinity.check()
        self._closed = True
        with contextlib.suppress(
            OSError
        ):  # a copy in another process would go on listening; not every system can
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._server is not None:
            self._server.close()
        self._sock.close()
        self._mgr.stopped_listening(self)


class _Refuse(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()
