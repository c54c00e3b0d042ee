"""Real streams over loopback for tests: both ends in one loop, and what they say written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from luabus.protocol import codec
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Kind, make_route
from luabus.protocol.stream_options import PLAIN_STREAM, StreamOptions
from luabus.rpc.dispatcher import Dispatcher
from luabus.transport.listener import Listener
from luabus.transport.manager import SocketMgr
from luabus.transport.security import Security
from luabus.transport.stream import NO_SUBSCRIBERS, Reason, Stream, Subscribers

LONGEST_S = 60.0


class Events:
    """What a stream's callbacks were called with, in order; `await events.of("error")` waits for the next of a sort."""

    def __init__(self, stream: Stream) -> None:
        self.log: list[tuple[Any, ...]] = []
        self._new = asyncio.Event()
        stream.on_call = self._writer("call")
        stream.on_error = self._writer("error")
        stream.on_connect = self._writer("connect")

    def _writer(self, sort: str) -> Callable[..., None]:
        def write(*args: Any) -> None:
            self.log.append((sort, *args))
            self._new.set()

        return write

    async def of(self, sort: str, count: int = 1) -> tuple[Any, ...]:
        """The arguments of the `count`-th event of this sort."""
        while len(found := [entry for entry in self.log if entry[0] == sort]) < count:
            self._new.clear()
            await self._new.wait()
        return found[count - 1][1:]

    async def reason(self) -> Reason:
        """The reason that `on_error` got."""
        (reason,) = await self.of("error")
        assert isinstance(reason, Reason)
        return reason

    @property
    def calls(self) -> list[tuple[Any, ...]]:
        return [entry[1:] for entry in self.log if entry[0] == "call"]


class Pair:
    """`client` has connected to `server`; both managers are closed on the way out. `told` and `heard` are their events.

    `options` are those of both ends, `subscribers` the client's.
    """

    def __init__(
        self,
        *,
        secret: bytes | None = None,
        options: StreamOptions = PLAIN_STREAM,
        subscribers: Subscribers = NO_SUBSCRIBERS,
    ) -> None:
        security = Security.of(secret)
        self.server_mgr = SocketMgr(10, security=security, options=options)
        self.client_mgr = SocketMgr(10, security=security, options=options, subscribers=subscribers)
        self._limit: asyncio.Timeout | None = None
        self.listener: Listener
        self.client: Stream
        self.server: Stream
        self.told: Events
        self.heard: Events

    async def __aenter__(self) -> Self:
        if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            # uvloop swallows what pytest-timeout raises: whoever waits for ever in a test is told here. (In a loop whose
            # time flies, that loop tells.)
            self._limit = asyncio.timeout(LONGEST_S)
            await self._limit.__aenter__()
        self.listener = self.server_mgr.listen("127.0.0.1", 0)
        self.client, self.server, self.told, self.heard = await self.connect()
        return self

    async def connect(self) -> tuple[Stream, Stream, Events, Events]:
        """One more connection: (client's stream, server's, client's events, server's)."""
        accepted: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        events: list[Events] = []

        def on_accept(stream: Stream) -> None:
            events.append(Events(stream))
            accepted.set_result(stream)

        self.listener.on_accept = on_accept
        client = self.client_mgr.connect("127.0.0.1", self.listener.port)
        told = Events(client)
        assert await told.of("connect") == ("ok",)
        server = await accepted
        self.listener.on_accept = None
        await server.connected()
        return client, server, told, events[0]

    async def ask(
        self, msg: str, *args: Any, trace: int = 0, epoch: int = 0, timeout: float | None = 5.0
    ) -> Any:
        """A request from the client with a trace and an epoch."""
        route = make_route(Kind.CALL, FLAG_REQUEST | FLAG_META)
        body = codec.pack_call(msg, args)
        return await self.client.ask(route, 0, body, timeout, lambda: msg, trace, epoch)

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self.client_mgr.close()
            await self.server_mgr.close()
        finally:
            if self._limit is not None:
                await self._limit.__aexit__(*exc)


class Served(Pair):
    """A pair whose server answers from `handlers`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.handlers = Dispatcher("mail.1", **options)

    async def __aenter__(self) -> Served:
        await super().__aenter__()
        self.handlers.serve(self.server)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        await self.handlers.close()
        assert self.handlers.running == 0
