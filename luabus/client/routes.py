"""The five ways to address a message, and what can be done with each: `send`, `request`, `gather`, `publish`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator, Mapping
from threading import get_ident
from typing import Any, Protocol

from luabus.client.failover import Failover
from luabus.client.flow_control import WINDOW, FlowControl
from luabus.client.news import News
from luabus.errors import NoMaster, NoRoute, Overloaded, PeerLost, Refused, RequestTimeout
from luabus.exception_text import text_of
from luabus.ids import ServiceId
from luabus.limits import REQUEST_TIMEOUT_S
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_COUNT, FLAG_META, FLAG_REQUEST, HEADER, HEADER_SIZE, Kind, make_route
from luabus.rpc.context import current
from luabus.rpc.replies import Answer, Count, Gather
from luabus.transport.stream import Stream, deadline_in, late

_REQUEST_FLAGS = FLAG_REQUEST | FLAG_META


class Sender(Protocol):
    """What a route needs of the bus."""

    failover: Failover
    """Has the stream to the preferred router, and what waits while there is none."""
    flow: FlowControl
    """How far senders that await may be ahead of their receivers."""
    news: News
    """What routers have said, and that one came or went."""
    epoch_source: Callable[[], int] | None
    """Tells the epoch under which this process is master, 0 when it is not; None when it never is."""

    @property
    def names(self) -> Mapping[int, str]:
        """The groups' names by number."""

    def check_use(self) -> None:
        """Raises `Refused` in another event loop, thread or process than the bus'."""

    def hold(self, route: int, key: int, body: bytes, trace: int, epoch: int) -> SendResult:
        """Keep a one-way message while the preferred router changes. Raises `NotConnected` or `Overloaded`."""


class SendResult:
    """What `send` returns. Awaiting it waits until the router, and those who receive, have taken most of what was sent before."""

    __slots__ = ("_flow", "_key", "_route", "_stream")

    def __init__(
        self, stream: Stream | None = None, flow: FlowControl | None = None, route: int = 0, key: int = 0
    ) -> None:
        self._stream = stream
        self._flow = flow
        self._route = route
        self._key = key

    def __await__(self) -> Generator[Any, None, None]:
        stream, flow = self._stream, self._flow
        if stream is None:
            return
        if stream.is_paused:
            yield from stream.drained().__await__()
        if flow is not None:
            yield from flow.credit(stream, self._route, self._key).__await__()


SENT = SendResult()


class _Call:
    """A request: the stream that it was sent on and its sequence there, as soon as it has been sent."""

    __slots__ = ("sequence", "stream")

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.sequence = 0

    def sent(self, stream: Stream, sequence: int) -> None:
        """It has been sent."""
        self.stream = stream
        self.sequence = sequence

    def settle(self) -> None:
        """It is answered."""
        if self.stream is not None:
            self.stream.settle_call(self.sequence)

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        if self.stream is not None:
            self.stream.give_up(self.sequence)


class Route:
    """Where a message goes. Made by the bus' `target`, `hash`, `random`, `broadcast` and `master`; may be kept for later."""

    __slots__ = ("_bus", "_key", "_route", "_words", "kind")

    def __init__(
        self,
        bus: Sender,
        kind: Kind,
        words: tuple[object, ...],
        group: int = 0,
        destination: int = 0,
        key: int = 0,
    ) -> None:
        self._bus = bus
        self._route = make_route(kind, 0, group, destination)
        self._key = key
        self.kind = kind
        self._words = words

    @property
    def text(self) -> str:
        """The route in words, as it was asked for: `hash:mail:alice`. Made when it is needed: for errors."""
        return ":".join(text_of(word) for word in self._words)

    def __repr__(self) -> str:
        return f"<Route {self.text}>"

    def send(self, msg: str, *args: Any) -> SendResult:
        """Send one way: at most once, nobody answers. `await` what it returns to go no faster than it is received.

        Raises `NotConnected`, `BadArguments`, `FrameTooLarge`, `Overloaded`: nothing was sent then.
        """
        bus = self._bus
        stream = bus.failover.stream
        call = current.get()
        trace = call.trace if call is not None else 0
        epoch = bus.epoch_source() if bus.epoch_source is not None else 0
        if stream is None:
            return bus.hold(self._route, self._key, codec.pack_call(msg, args), trace, epoch)
        # As `check_use`, without the system call that asking for the running loop is.
        if get_ident() != stream.thread or not stream.loop.is_running():
            stream.check_use()
        body = codec.pack_call(msg, args)
        if trace or epoch or len(body) > stream.compress_above:
            stream.post(self._route, self._key, body, trace, epoch)
        else:  # as `post`, a call less
            stream.send_frame(HEADER.pack(len(body), self._route, self._key, stream.source, 0), body)
        flow = bus.flow
        flow.ahead += HEADER_SIZE + len(body)
        if flow.ahead > WINDOW:
            flow.ahead = 0
            return SendResult(stream, flow, self._route, self._key)
        return SendResult(stream) if stream.connection.is_paused else SENT

    async def request(
        self, msg: str, *args: Any, timeout: float | None = REQUEST_TIMEOUT_S, wait_for_master: bool = False
    ) -> Any:
        """Send, and return what the handler returns. `timeout` in seconds; None waits for ever.

        Where our own buffer is full it waits for room, within the time-out.

        Raises what the handler raised (`RemoteError`, or its `LuabusError`), `NoRoute`, `NoMaster`, `PeerLost`, `RouterLost`,
        `Overloaded`, `RequestTimeout`, `UnknownMethod`, `BadArguments`, `FrameTooLarge`, `NotConnected`. With
        `wait_for_master` a group without a master is waited for, within the time-out. Cancelling cancels the handler.
        """
        if self.kind is Kind.BROADCAST:
            raise Refused("a broadcast has many answers; use gather()")
        body = codec.pack_call(msg, args)
        bus = self._bus
        handled = current.get()
        trace = handled.trace if handled is not None and handled.trace else random.getrandbits(64)
        route = self._route | _REQUEST_FLAGS << 8
        deadline = deadline_in(timeout)
        while True:
            revision = bus.news.revision
            stream = bus.failover.stream
            try:
                if stream is None:
                    call = _Call()
                    waiter = asyncio.get_running_loop().create_future()
                    stream = await self._begin(call, waiter, route, body, deadline, trace)
                    sequence = call.sequence
                else:
                    # As `Stream.ask`, without a second coroutine around each request.
                    waiter = stream.new_waiter()
                    epoch = bus.epoch_source() if bus.epoch_source is not None else 0
                    try:
                        sequence = stream.start_call(waiter, route, self._key, body, deadline, trace, epoch)
                    except Overloaded as refused:
                        await _room(stream, refused, deadline)
                        continue
                try:
                    return await waiter
                except asyncio.CancelledError:
                    stream.give_up(sequence)
                    raise
            except TimeoutError:
                raise late(f"{self.text} {msg}", timeout) from None
            except NoMaster as error:
                # About another group it is a handler's answer: that one has run, and must not run again.
                if not wait_for_master or error.group != self._route >> 16 & 0xFFFF:
                    self._name(error)
                    raise
                await _master_change(bus.news, revision, deadline, self.text, timeout)
            except (NoRoute, PeerLost, Overloaded) as error:
                self._name(error)
                raise

    async def answered(
        self, msg: str, *args: Any, timeout: float = REQUEST_TIMEOUT_S
    ) -> tuple[ServiceId, Any]:
        """As `request`, and tells who answered: `(ServiceId, value)`. For tools that show the way a message took."""
        if self.kind is Kind.BROADCAST:
            raise Refused("a broadcast has many answers; use gather()")
        body = codec.pack_call(msg, args)
        future: asyncio.Future[tuple[ServiceId, Any]] = asyncio.get_running_loop().create_future()
        call = _Call()
        answer = Answer(future, call.settle, lambda: f"{self.text} {msg}")
        await self._ask(call, answer, _REQUEST_FLAGS, body, timeout, random.getrandbits(64), msg)
        return future.result()

    async def gather(self, msg: str, *args: Any, timeout: float = REQUEST_TIMEOUT_S) -> dict[ServiceId, Any]:
        """Ask everybody in the group; returns each one's value, or the exception that stands for it.

        The router tells who got the request, so those who did not answer in time are in the result too, with `RequestTimeout`. An
        empty group gives {}.
        """
        if self.kind is not Kind.BROADCAST:
            raise Refused(f"gather() is for broadcasts; {self.text} has one answer: use request()")
        body = codec.pack_call(msg, args)
        handled = current.get()
        trace = handled.trace if handled is not None and handled.trace else random.getrandbits(64)
        future: asyncio.Future[dict[ServiceId, Any]] = asyncio.get_running_loop().create_future()
        call = _Call()
        gather = Gather(future, call.settle, lambda: f"{self.text} {msg}")
        await self._ask(call, gather, _REQUEST_FLAGS, body, timeout, trace, msg)
        replies = future.result()
        for reply in replies.values():
            self._name(reply)
        return replies

    async def publish(self, msg: str, *args: Any, timeout: float = REQUEST_TIMEOUT_S) -> int:
        """Send one way to everybody in the group; returns how many the router handed it to."""
        if self.kind is not Kind.BROADCAST:
            raise Refused(f"publish() is for broadcasts, not for {self.text}")
        body = codec.pack_call(msg, args)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        call = _Call()
        await self._ask(call, Count(future, call.settle), FLAG_COUNT | FLAG_META, body, timeout, 0, msg)
        return future.result()

    async def _ask(
        self,
        call: _Call,
        waiter: Answer | Gather | Count,
        flags: int,
        body: bytes,
        timeout: float,
        trace: int,
        msg: str,
    ) -> None:
        """Send a request and wait until the future of its `waiter` is settled."""
        try:
            await self._begin(call, waiter, self._route | flags << 8, body, deadline_in(timeout), trace)
        except TimeoutError:
            raise late(f"{self.text} {msg}", timeout) from None
        try:
            await waiter.result
        except asyncio.CancelledError:
            call.give_up()
            raise
        except (NoRoute, NoMaster, PeerLost, Overloaded) as error:
            self._name(error)
            raise

    def _name(self, error: Any) -> None:
        """What a router says by numbers is said in the words of whoever asked. What handlers raise stays as it is."""
        text, by = "", getattr(error, "answered_by", None)
        if isinstance(error, NoRoute) and by is None:
            text = f"nobody is there for {self.text}"
        elif isinstance(error, NoMaster) and by is None:
            text = f"{text_of(self._words[1])} has no master now"
        elif isinstance(error, PeerLost) and by is not None and error.peer == str(ServiceId(by)):
            text = f"{ServiceId(by).named(self._bus.names)} went away while the request was in flight"
        elif isinstance(error, Overloaded) and by is not None:
            peer, says, rest = error.message.partition(" does not read: ")
            if says and peer == str(ServiceId(by)):
                text = f"{ServiceId(by).named(self._bus.names)}{says}{rest}"
        if text:
            error.args = (text,)

    async def _begin(
        self, call: _Call, waiter: Any, route: int, body: bytes, deadline: float | None, trace: int
    ) -> Stream:
        """Send a request at once, or in its turn while the preferred router changes. Raises `TimeoutError`."""
        bus = self._bus
        bus.check_use()
        epoch = bus.epoch_source() if bus.epoch_source is not None else 0

        def send(stream: Stream) -> None:
            still_master = bus.epoch_source is not None and bus.epoch_source() == epoch
            spoken = epoch if still_master else 0
            sequence = stream.start_call(waiter, route, self._key, body, deadline, trace, spoken)
            call.sent(stream, sequence)

        while (stream := bus.failover.stream) is not None:
            try:
                send(stream)
            except Overloaded as refused:
                await _room(stream, refused, deadline)
            else:
                return stream
        try:
            return await bus.failover.send_next(send, _left(deadline))
        except (TimeoutError, asyncio.CancelledError):
            call.give_up()  # if it was sent in the very moment
            raise


async def _room(stream: Stream, refused: Overloaded, deadline: float | None) -> None:
    """A request did not fit into our own send buffer: wait until the router has taken most of what is in it.

    Raises `refused` at `deadline`, or when something else is in the way.
    """
    if not stream.is_paused:
        raise refused
    try:
        async with asyncio.timeout(_left(deadline)):
            await stream.drained()
    except TimeoutError:
        raise refused from None


async def _master_change(
    news: News, since: int, deadline: float | None, route: str, timeout: float | None
) -> None:
    """Wait for news about masters or routers until `deadline`. Raises `RequestTimeout`."""
    left = _left(deadline)
    text = f"{route} had no master for {timeout} s"
    try:
        await news.wait(since, None if left is None else max(0.0, left), text)
    except RequestTimeout:
        raise RequestTimeout(text, route=route, timeout_s=timeout or 0.0) from None


def _left(deadline: float | None) -> float | None:
    """Seconds until `deadline` (monotonic); None when there is none."""
    return None if deadline is None else deadline - time.monotonic()
