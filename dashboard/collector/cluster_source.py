"""Where the facts come from: the routers over the bus, and the launcher over its control channel.

`Source` is what the feed and the verbs need; `ClusterSource` is the one that talks to a cluster. Nothing here remembers or
decides: every method asks once and raises a typed `luabus` error when the answer does not come.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from luabus import Bus, Environment, Security, SocketMgr, Stream, admin, create_socket_mgr, read_secret
from luabus.errors import ConfigError, LuabusError, NotConnected
from luabus.messages import Message

ASK_TIMEOUT_S: Final = 3.0
"""How long the launcher may take to answer a question."""
VERB_TIMEOUT_S: Final = 30.0
"""How long it may take for a verb that is done at once."""
CONNECT_TIMEOUT_MS: Final = 2000
ANSWER_BYTES: Final = 16 << 20
"""Bytes of one answer of the launcher at most, as at its own end: ten thousand log lines have some MB."""


MOST_BATCHES: Final = 256
"""Pushes of log lines kept for a page that does not take them."""


class RouterLink(NamedTuple):
    """A configured router, and whether it answers now."""

    name: str
    address: str
    connected: bool


class Answer(NamedTuple):
    """What came back to a request: from whom (None when a router spoke for nobody), the value or the error."""

    service_id: str | None
    value: Any
    error: LuabusError | None = None


class Source(Protocol):
    """What the dashboard needs of a cluster."""

    cluster: str

    async def start(self, changed: Callable[[], None]) -> None:
        """Begin to connect; call `changed` whenever something is known to have changed."""
        ...

    async def stop(self) -> None: ...

    def links(self) -> Sequence[RouterLink]: ...

    def bus_error(self) -> str | None:
        """Why no router answers; None while one does."""
        ...

    async def routes(self) -> Any: ...

    async def connections(self) -> Any: ...

    async def stats(self) -> Any: ...

    async def register(
        self, service_id: str, token: int | str | None, is_master: bool, router: str
    ) -> dict[str, str]: ...

    async def promote(self, service_id: str, by: str) -> Any: ...

    async def close_connection(self, router: str, token: int) -> Any: ...

    async def methods(self, group: int, timeout: float) -> dict[str, Any]:
        """What every instance of a group declares: `{service_id: the list, or an error}`."""
        ...

    async def call(
        self, route: str, method: str, args: Sequence[Any], timeout: float, one_way: bool
    ) -> list[Answer]:
        """Send to a route such as `hash:mail:alice`. One way there is no answer; a broadcast has many."""
        ...

    def follow(self, name: str, lines: int) -> AbstractAsyncContextManager[AsyncIterator[list[Any]]]:
        """The newest lines that a process wrote, and then each as it comes, until the launcher ends."""
        ...

    async def ask(self, method: str, *args: Any) -> Any:
        """Ask the launcher something."""
        ...

    async def tell(self, method: str, *args: Any, timeout: float = VERB_TIMEOUT_S) -> Any:
        """Have the launcher do something; waits longer than `ask`."""
        ...


class LinesOf:
    """What the launcher pushes down a stream, until the stream ends. A reader that is too slow loses the oldest."""

    def __init__(self, stream: Stream) -> None:
        self._batches: deque[list[Any]] = deque(maxlen=MOST_BATCHES)
        self._ended = False
        self._news = asyncio.Event()
        stream.on_call = self._take
        stream.on_error = self._end

    def _take(self, msg: str, *args: Any) -> None:
        if msg == "log" and args and isinstance(args[0], list):
            self._batches.append(args[0])
            self._news.set()

    def _end(self, reason: object) -> None:
        self._ended = True
        self._news.set()

    async def after(self, first: list[Any]) -> AsyncIterator[list[Any]]:
        yield first
        while True:
            while self._batches:
                yield self._batches.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()


class Launcher:
    """The control channel: connects when first needed, and again after it was lost or the launcher was started anew."""

    def __init__(self, control: Path | None, secret: bytes | None) -> None:
        self._path = control
        self._secret = secret
        self._manager: SocketMgr | None = None
        self._stream: Stream | None = None
        self._target: tuple[str, int] | None = None
        self._lock = asyncio.Lock()

    async def request(self, method: str, *args: Any, timeout: float) -> Any:
        """Raises `NotConnected` when there is no launcher, else what the launcher raised."""
        stream = await self._connected()
        return await stream.request(method, *args, timeout=timeout)

    @asynccontextmanager
    async def follow(self, name: str, lines: int) -> AsyncIterator[AsyncIterator[list[Any]]]:
        """A connection of its own: what the launcher pushes down it is for this reader alone."""
        manager = create_socket_mgr(1, secret=self._secret)
        try:
            stream = manager.connect(*self._read(), CONNECT_TIMEOUT_MS)
            stream.set_recv_buffer_size(ANSWER_BYTES)
            await stream.connected()
            news = LinesOf(stream)
            first = await stream.request("follow", [name], lines, timeout=ASK_TIMEOUT_S)
            yield news.after(first)
        finally:
            await manager.close()

    async def close(self) -> None:
        """End the connection. It is made again when somebody asks."""
        self._stream = None
        manager, self._manager = self._manager, None
        if manager is not None:
            await manager.close()

    async def _connected(self) -> Stream:
        async with self._lock:
            target = self._read()
            if self._stream is not None and self._stream.is_open and target == self._target:
                return self._stream
            await self.close()
            self._manager = create_socket_mgr(4, secret=self._secret)
            stream = self._manager.connect(*target, CONNECT_TIMEOUT_MS)
            stream.set_recv_buffer_size(ANSWER_BYTES)
            await stream.connected()
            self._stream, self._target = stream, target
            return stream

    def _read(self) -> tuple[str, int]:
        if self._path is None:
            raise NotConnected.coded(Message("problem.luabus-control-is-not-set"))
        try:
            written = json.loads(self._path.read_text("utf-8"))
            return str(written["host"]), int(written["port"])
        except FileNotFoundError:
            raise NotConnected.coded(
                Message("problem.does-not-exist-no-launcher-runs", path=str(self._path))
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotConnected.coded(
                Message("problem.cannot-be-read", path=str(self._path), error=str(error))
            ) from None


class ClusterSource:
    """A launched cluster, or routers alone: what the `LUABUS_*` environment names.

    Raises `ConfigError` when that names no router, or when the secret cannot be read.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        environment = Environment.read(environ)
        self.cluster = environment.cluster or "luabus"
        if not environment.routers:
            raise ConfigError("LUABUS_ROUTERS names no router, such as 127.0.0.1:7070", key="LUABUS_ROUTERS")
        self._addresses = environment.routers
        self._groups = environment.groups
        self._secret = read_secret(environment.secret_file) if environment.secret_file else None
        self._launcher = Launcher(Path(environment.control) if environment.control else None, self._secret)
        self._bus = Bus()

    async def start(self, changed: Callable[[], None]) -> None:
        self._bus.on_group(lambda router, group: changed())
        self._bus.on_router(lambda router, connected: changed())
        await self._bus.start(self._addresses, groups=self._groups, security=Security.of(self._secret))
        await self._bus.watch()

    async def stop(self) -> None:
        await self._bus.close()
        await self._launcher.close()

    def links(self) -> Sequence[RouterLink]:
        # Until a router has said its name it goes by its place in the configuration, which is how the launcher names it.
        return [
            RouterLink(
                f"router.{n}" if link.name == link.address else link.name, link.address, link.connected
            )
            for n, link in enumerate(self._bus.routers, 1)
        ]

    def bus_error(self) -> str | None:
        links = self._bus.routers
        if any(link.connected for link in links):
            return None
        return "; ".join(str(link.last_error or f"{link.address} is not connected yet") for link in links)

    async def routes(self) -> Any:
        return await admin.routes(self._bus)

    async def connections(self) -> Any:
        return await admin.connections(self._bus)

    async def stats(self) -> Any:
        return await admin.stats(self._bus)

    async def register(
        self, service_id: str, token: int | str | None, is_master: bool, router: str
    ) -> dict[str, str]:
        return await admin.register(self._bus, service_id, token, is_master, router)

    async def promote(self, service_id: str, by: str) -> Any:
        return await admin.promote(self._bus, service_id, by=by)

    async def close_connection(self, router: str, token: int) -> Any:
        return await admin.close_connection(self._bus, router, token)

    async def methods(self, group: int, timeout: float) -> dict[str, Any]:
        answers = await self._bus.broadcast(group).gather("luabus.methods", timeout=timeout)
        return {str(one): answer for one, answer in answers.items()}

    async def call(
        self, route: str, method: str, args: Sequence[Any], timeout: float, one_way: bool
    ) -> list[Answer]:
        way = self._bus.route(route)
        if one_way:
            await way.send(method, *args)
            return []
        if route.startswith("broadcast:"):
            found = await way.gather(method, *args, timeout=timeout)
            return [
                Answer(str(one), None, value) if isinstance(value, LuabusError) else Answer(str(one), value)
                for one, value in found.items()
            ]
        by, value = await way.answered(method, *args, timeout=timeout)
        return [Answer(str(by), value)]

    def follow(self, name: str, lines: int) -> AbstractAsyncContextManager[AsyncIterator[list[Any]]]:
        return self._launcher.follow(name, lines)

    async def ask(self, method: str, *args: Any) -> Any:
        return await self._launcher.request(method, *args, timeout=ASK_TIMEOUT_S)

    async def tell(self, method: str, *args: Any, timeout: float = VERB_TIMEOUT_S) -> Any:
        return await self._launcher.request(method, *args, timeout=timeout)
