"""The control channel of a launcher, client's side: one connection, one that comes back, one question without an event loop.

A launcher writes where it listens into `control.json`; administrators may connect, and the services that it lists. What is
asked and answered docs/design.md has. Nothing heavy is imported before a connection needs it: `status` asks once and ends.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from luabus.cluster.run_record import is_of, lives
from luabus.errors import LuabusError, NotConnected
from luabus.messages import Message

if TYPE_CHECKING:
    import asyncio

    from luabus.transport.manager import SocketMgr
    from luabus.transport.security import Security
    from luabus.transport.stream import Stream

ANSWER_BYTES: Final = 16 << 20
"""Bytes of one answer at most, at both ends: a status of 200 processes has 300 KB, ten thousand log lines some MB."""
CONNECT_TIMEOUT_S: Final = 5.0
ASK_TIMEOUT_S: Final = 10.0
MOST_BATCHES: Final = 256
"""Pushes of log lines kept for a reader that does not take them."""

NOT_LAUNCHED: Final = "problem.luabus-control-is-not-set"
"""Code of the reason why no launcher is asked: there is none, the routers were started by hand."""

Lines = list[dict[str, Any]]


class ControlAddress(NamedTuple):
    """What control.json says of a launcher; `guard` is the pid of its watchdog, if it has one, `mark` its `process_mark`."""

    pid: int
    guard: int | None
    host: str
    port: int
    mark: str = ""


def read_address(path: Path) -> ControlAddress:
    """Raises `NotConnected` when no launcher wrote it into this folder, that launcher has ended, or it is damaged."""
    try:
        written = json.loads(path.read_text("utf-8"))
        pid, port, guard, mark = (
            written["pid"],
            written["port"],
            written.get("guard"),
            written.get("started", ""),
        )
        if not (isinstance(pid, int) and isinstance(port, int) and isinstance(mark, str)):
            raise TypeError("pid and port are numbers, started is text")
        if not is_of(written, path.parent) or lives(pid, mark) is False:
            raise FileNotFoundError(path)
        guard = guard if isinstance(guard, int) else None
        return ControlAddress(pid, guard, str(written["host"]), port, mark)
    except FileNotFoundError:
        raise NotConnected.coded(Message("problem.does-not-exist-no-launcher-runs", path=str(path))) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotConnected.coded(
            Message("problem.cannot-be-read", path=str(path), error=str(error))
        ) from None


def ask(
    address: ControlAddress,
    security: Security,
    method: str,
    *args: Any,
    timeout: float | None = ASK_TIMEOUT_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    unreachable: Callable[[LuabusError], Exception] = lambda error: error,
) -> Any:
    """One request, without an event loop. Raises what `unreachable` makes of the reason why there is no connection, and what the
    launcher refuses."""
    from luabus.transport.blocking import Conversation

    try:
        peer = Conversation(
            address.host, address.port, security=security.to("launcher"), timeout=connect_timeout_s,
            limit=ANSWER_BYTES,
        )  # fmt: skip
    except LuabusError as error:
        raise unreachable(error) from None
    with peer:
        return peer.request(method, *args, timeout=timeout)


class ControlConnection:
    """One connection: `async with ControlConnection(address, security) as control: await control.request("status")`.

    `on_log` is called with the lines that come after `follow`, and the events after `follow_events`. `ended_in_order`: before it
    closed, the launcher said that it stops; `killed` is then what it had to kill.
    """

    def __init__(
        self,
        address: ControlAddress,
        security: Security,
        on_log: Callable[[Lines], None] | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self.address = address
        self.ended_in_order = False
        self.killed: list[str] = []
        self._security = security
        self._on_log = on_log
        self._connect_timeout_s = connect_timeout_s
        self._manager: SocketMgr | None = None
        self._stream: Stream | None = None

    async def __aenter__(self) -> Self:
        """Raises why there is no connection."""
        from luabus.transport.manager import SocketMgr

        manager = SocketMgr(1, security=self._security.to("launcher"))
        try:
            stream = manager.connect(
                self.address.host, self.address.port, round(self._connect_timeout_s * 1000)
            )
            stream.set_recv_buffer_size(ANSWER_BYTES)
            stream.on_call = self._called
            await stream.connected()
        except BaseException:  # cancelled as well: nobody gets this to close it
            await manager.close()
            raise
        self._manager, self._stream = manager, stream
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Does nothing to one that is closed."""
        self._stream = None
        manager, self._manager = self._manager, None
        if manager is not None:
            await manager.close()

    @property
    def is_open(self) -> bool:
        return self._stream is not None and self._stream.is_open

    async def request(self, method: str, *args: Any, timeout: float | None = ASK_TIMEOUT_S) -> Any:
        """Calls a method of the launcher. Its refusals come back as `luabus.errors.Refused`."""
        if self._stream is None:
            raise NotConnected("the control connection is closed")
        return await self._stream.request(method, *args, timeout=timeout)

    async def closed(self) -> None:
        """Waits until the launcher closes the connection, which it does when it ends."""
        with contextlib.suppress(LuabusError):
            if self._stream is not None:
                await self._stream.closed()

    def _called(self, method: str, *args: Any) -> None:
        if method == "stopped":
            self.ended_in_order = True
            self.killed = [str(told) for told in args[0]] if args and isinstance(args[0], list) else []
        elif method in ("log", "event") and self._on_log is not None and args and isinstance(args[0], list):
            self._on_log(args[0])


class ControlClient:
    """A connection that is made when first needed, and again after it was lost or the launcher was started anew. `path` None:
    there is no launcher."""

    def __init__(
        self, path: Path | None, security: Security, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> None:
        import asyncio

        self._path = path
        self._security = security
        self._connect_timeout_s = connect_timeout_s
        self._connection: ControlConnection | None = None
        self._connecting = asyncio.Lock()

    async def request(self, method: str, *args: Any, timeout: float | None = ASK_TIMEOUT_S) -> Any:
        """Raises `NotConnected` when there is no launcher, else what the launcher raised."""
        return await (await self._connected()).request(method, *args, timeout=timeout)

    @asynccontextmanager
    async def follow(
        self, name: str, lines: int, timeout: float = ASK_TIMEOUT_S
    ) -> AsyncIterator[AsyncIterator[Lines]]:
        """The newest lines that a process wrote, then each as it comes until the launcher ends. A connection of its own: what the
        launcher pushes down it is for this reader alone; one that is too slow loses the oldest."""
        import asyncio

        pushed: deque[Lines] = deque(maxlen=MOST_BATCHES)
        news = asyncio.Event()

        def take(batch: Lines) -> None:
            pushed.append(batch)
            news.set()

        async with ControlConnection(
            self._address(), self._security, take, self._connect_timeout_s
        ) as connection:
            first = await connection.request("follow", [name], lines, timeout=timeout)
            ended = asyncio.ensure_future(connection.closed())
            ended.add_done_callback(lambda _: news.set())
            try:
                yield _batches(first, pushed, news, ended)
            finally:
                ended.cancel()

    async def close(self) -> None:
        """Ends the connection. It is made again when somebody asks."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> ControlConnection:
        async with self._connecting:  # two may ask at once
            address = self._address()
            connection = self._connection
            if connection is not None and connection.is_open and connection.address == address:
                return connection
            await self.close()
            made = ControlConnection(address, self._security, connect_timeout_s=self._connect_timeout_s)
            self._connection = await made.__aenter__()
            return self._connection

    def _address(self) -> ControlAddress:
        if self._path is None:
            raise NotConnected.coded(Message(NOT_LAUNCHED))
        return read_address(self._path)


async def _batches(
    first: Lines, pushed: deque[Lines], news: asyncio.Event, ended: asyncio.Future[None]
) -> AsyncIterator[Lines]:
    yield first
    while True:
        while pushed:
            yield pushed.popleft()
        if ended.done():
            return
        news.clear()
        await news.wait()
