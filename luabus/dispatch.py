"""Calls that arrive: find the handler, run it, answer.

A handler that finishes without waiting is run and answered in place, in the callback that received the frame: no task is
made for it. So that it cannot tell the difference (`asyncio.current_task`, `asyncio.timeout` and context variables work), its
first step runs in the name of a parked worker task, in a copy of the context; if it waits after all, that worker takes it over
and becomes a parked one again when it is done. Handlers start in the order in which their messages came.
"""

from __future__ import annotations

import asyncio
import logging
import time
import types
from asyncio.tasks import (
    _enter_task,
    _leave_task,
)  # documented for this: asyncio's "Extending" page, task lifetime support
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, overload

from luabus import codec
from luabus.errors import (
    FrameTooLarge,
    LuabusError,
    Overloaded,
    ProtocolError,
    Refused,
    RemoteError,
    RequestTimeout,
)
from luabus.frames import FLAG_COMPRESSED, FLAG_META, FLAG_REQUEST, META, META_SIZE, Kind, make_route
from luabus.ids import ServiceId
from luabus.limits import MAX_CONCURRENCY
from luabus.methods import Method, unknown_method
from luabus.stream import Receiver, Stream

log = logging.getLogger("luabus.dispatch")

F = TypeVar("F", bound=Callable[..., Any])
Meta = tuple[int, int, float | None]
"""Epoch, trace, and the seconds that are left."""

_META, _REQUEST, _COMPRESSED = FLAG_META << 8, FLAG_REQUEST << 8, FLAG_COMPRESSED << 8
_MASTER = int(Kind.MASTER)
_REPLY_ROUTE = make_route(Kind.REPLY)
_NO_META: Meta = (0, 0, None)
_VALUES = frozenset((type(None), bool, int, float, str, bytes, list, dict))
"""What handlers mostly return."""
_LARGE = 32 * 1024
"""Bytes of a body from which on it is unpacked where it lies, without a copy."""
_MAX_PARKED = 256


class Caller(ServiceId):
    """Who sent the message being handled, as the router vouched for it: a `ServiceId` that knows a little more."""

    epoch: int
    """The epoch under which the caller spoke as its group's master; 0 when it did not."""
    trace: int
    """The trace id that the message carries (64 bits); 0 when none."""
    stream: Stream
    """The stream it came on."""
    remaining_s: float | None
    """Seconds that were left to answer when the message came; None without a deadline."""


class Incoming:
    """One call on its way through the dispatcher."""

    __slots__ = ("cancelled", "meta", "method", "sequence", "source", "started", "stream", "wanted", "worker")

    def __init__(
        self, stream: Stream, source: int, sequence: int, method: Method, wanted: bool, meta: Meta
    ) -> None:
        self.stream = stream
        self.source = source
        self.sequence = sequence
        self.method = method
        self.wanted = wanted
        self.meta = meta
        self.started = time.perf_counter()
        self.cancelled = False
        self.worker: _Worker | None = None

    @property
    def epoch(self) -> int:
        """The epoch under which the caller speaks as master; 0 when it does not."""
        return self.meta[0]

    @property
    def trace(self) -> int:
        """The message's trace id; 0 when it has none."""
        return self.meta[1]

    @property
    def remaining_s(self) -> float | None:
        """Seconds that were left to answer when the message came; None without a deadline."""
        return self.meta[2]


current: ContextVar[Incoming | None] = ContextVar("luabus_call", default=None)
"""The call being handled in this context."""


def caller() -> Caller:
    """Inside a handler: who called. Raises `Refused` elsewhere."""
    call = current.get()
    if call is None:
        raise Refused("luabus.caller() has an answer only inside a handler")
    who = Caller(call.source)
    who.epoch, who.trace, who.stream, who.remaining_s = call.epoch, call.trace, call.stream, call.remaining_s
    return who


class _Worker:
    """A task that takes over handlers which wait. Parked, it lends its name to handlers that do not."""

    __slots__ = ("cancelled", "job", "loop", "park", "started", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None]
        self.park: asyncio.Future[None] | None = None
        self.job: tuple[Coroutine[Any, Any, Any], Any, Context, Incoming] | None = None
        self.started = False
        self.cancelled = False  # the handler it takes over has cancelled itself before


class Dispatcher(Receiver):
    """A table of handlers. `serve(stream)` answers everything that arrives on a stream from it.

    `name`: for messages. `max_concurrency`: calls that run at once; the next request gets `Overloaded`, the next one-way
    message is dropped and counted in `dropped`.
    """

    def __init__(
        self, name: str = "this process", *, max_concurrency: int = MAX_CONCURRENCY, check_types: bool = False
    ) -> None:
        self.name = name
        self.max_concurrency = max_concurrency
        self.check_types = check_types
        self.methods: dict[str, Method] = {}
        self.running = 0
        self.dropped: dict[str, int] = {}
        self.gate: Callable[[int, Incoming], LuabusError | None] | None = None
        """Asked before a call to the master, or of a master, is run, with the frame's kind; an error refuses it."""
        self._calls: dict[tuple[int, int, int], Incoming] = {}
        self._parked: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._closing = False

    @overload
    def rpc(self, fn: F) -> F: ...
    @overload
    def rpc(
        self, fn: None = None, *, name: str = "", check_types: bool | None = None
    ) -> Callable[[F], F]: ...
    @overload
    def rpc(self, fn: F, *, name: str, check_types: bool | None = None) -> F: ...
    def rpc(self, fn: Any = None, *, name: str = "", check_types: bool | None = None) -> Any:
        """Register a handler, `async def` or plain `def`, under its own name or `name`. A decorator, with or without arguments.

        Raises `ConfigError` for a handler whose arguments cannot travel.
        """
        if fn is None:
            return lambda given: self.rpc(given, name=name or given.__name__, check_types=check_types)
        check = self.check_types if check_types is None else check_types
        method = Method(name or fn.__name__, fn, check_types=check)
        self.methods[method.name] = method
        return fn

    def serve(self, stream: Stream) -> None:
        """Answer what arrives on `stream`; fits a listener's `on_accept`."""
        stream.receiver = self

    # --- Receiver ---------------------------------------------------------------------------------------------

    def take(
        self, stream: Stream, route: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        kind = route & 0xFF
        # Only a call that may be refused is looked at closely: few are.
        doubtful = kind == _MASTER or self.running >= self.max_concurrency
        meta = _NO_META
        if route & _META:
            deadline, epoch, trace = META.unpack_from(data, start)
            start += META_SIZE
            remaining_s = stream.remaining_s(deadline) if deadline else None
            meta = (epoch, trace, remaining_s)
            doubtful = doubtful or epoch or (remaining_s is not None and remaining_s <= 0)
        wanted = route & _REQUEST != 0
        try:
            body: bytes | memoryview
            if route & _COMPRESSED:
                body = stream.body_of(route, data[start:end])
            elif end - start < _LARGE:
                body = data[start:end]
            else:
                body = memoryview(data)[start:end]
            args = codec.unpack_call(body)
        except (ProtocolError, FrameTooLarge) as error:
            if kind == Kind.CALL:
                raise
            # It came through a router: its sender is to blame, not the stream.
            self._refuse(stream, source, sequence, wanted, error, "undecodable")
            return
        name = args.pop(0)
        method = self.methods.get(name)
        if method is None:
            self._refuse(
                stream,
                source,
                sequence,
                wanted,
                unknown_method(name, list(self.methods), self.name),
                "unknown method",
            )
            return
        call = Incoming(stream, source, sequence, method, wanted, meta)
        if doubtful or not method.least <= len(args) <= method.most:
            refusal = self._refusal(kind, call, args)
            if refusal is not None:
                self._refuse(stream, source, sequence, wanted, refusal, type(refusal).__name__)
                return
        self._run(call, args)

    def _refusal(self, kind: int, call: Incoming, args: list[Any]) -> LuabusError | None:
        method = call.method
        if self.running >= self.max_concurrency:
            return Overloaded(
                f"{self.name} runs {self.running} calls already, the most it takes",
                what="running calls", limit=self.max_concurrency, current=self.running,
            )  # fmt: skip
        if call.remaining_s is not None and call.remaining_s <= 0:
            method.stats.expired += 1
            return RequestTimeout(
                f"{method.name} came {-call.remaining_s:.3f} s after its deadline and was not started"
            )
        if self.gate is not None:
            refused = self.gate(kind, call)
            if refused is not None:
                return refused
        return method.misfit(args)

    def cancel(self, stream: Stream, source: int, sequence: int) -> None:
        call = self._calls.get((stream.token, source, sequence))
        if call is not None:
            self._cancel(call)

    def stream_closed(self, stream: Stream) -> None:
        for call in list(self._calls.values()):
            if call.stream is stream:
                self._cancel(call)

    def _cancel(self, call: Incoming) -> None:
        if call.cancelled or call.worker is None:
            return
        call.cancelled = True
        if call.worker.started:
            call.worker.task.cancel()

    # --- life -------------------------------------------------------------------------------------------------

    async def idle(self) -> None:
        """Wait until no call is running."""
        while self.running:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await waiter

    async def close(self) -> None:
        """Cancel what is running and end the workers."""
        self._closing = True
        tasks = [worker.task for worker in self._workers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._closing = False

    def snapshot(self) -> dict[str, Any]:
        """Every method with its counters."""
        return {name: method.stats.snapshot() for name, method in sorted(self.methods.items())}

    # --- running ----------------------------------------------------------------------------------------------

    def _run(self, call: Incoming, args: list[Any]) -> None:
        call.method.stats.calls += 1
        context = copy_context()
        try:
            result = context.run(_begin, call, args)
        except (Exception, asyncio.CancelledError) as error:
            self._failed(call, error)
            return
        kind = type(result)
        # Asking an ABC is slow, so it comes last.
        if kind is not types.CoroutineType and (kind in _VALUES or not isinstance(result, Coroutine)):
            self._succeeded(call, result)
            return
        worker = self._parked.pop() if self._parked else self._new_worker()
        loop, task = worker.loop, worker.task
        _enter_task(loop, task)
        try:
            yielded = context.run(result.send, None)
        except StopIteration as stop:
            self._succeeded(call, stop.value)
        except (Exception, asyncio.CancelledError) as error:
            self._failed(call, error)
        else:
            self._hand_over(worker, result, yielded, context, call)
            return
        finally:
            _leave_task(loop, task)
        # A handler may have cancelled the task in whose name it ran: that one ends, and takes over no other.
        if worker.started and not task.cancelling():
            self._parked.append(worker)

    def _new_worker(self) -> _Worker:
        loop = asyncio.get_running_loop()
        worker = _Worker(loop)
        worker.task = loop.create_task(self._work(worker))
        self._workers.add(worker)
        worker.task.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    def _hand_over(
        self, worker: _Worker, coro: Coroutine[Any, Any, Any], yielded: Any, context: Context, call: Incoming
    ) -> None:
        """The handler waits: from here on `worker` really runs it."""
        if not worker.started and worker.task.cancelling():  # by the handler; it would end before it begins
            worker = self._new_worker()
            worker.cancelled = True
        self.running += 1
        call.method.stats.running += 1
        call.worker = worker
        if call.wanted:
            self._calls[(call.stream.token, call.source, call.sequence)] = call
        worker.job = (coro, yielded, context, call)
        if worker.park is not None and not worker.park.done():
            worker.park.set_result(None)

    async def _work(self, worker: _Worker) -> None:
        worker.started = True
        try:
            while True:
                cancelled: BaseException | None = asyncio.CancelledError() if worker.cancelled else None
                worker.cancelled = False
                if worker.job is None:
                    if worker not in self._parked:
                        if len(self._parked) >= _MAX_PARKED:
                            return
                        self._parked.append(worker)
                    worker.park = asyncio.get_running_loop().create_future()
                    try:
                        await worker.park
                    except asyncio.CancelledError as error:
                        if worker.job is None or self._closing:
                            raise
                        worker.task.uncancel()
                        cancelled = error
                    worker.park = None
                if worker.job is not None:
                    job, worker.job = worker.job, None
                    await self._finish(worker, *job, cancelled)
        finally:
            if worker in self._parked:
                self._parked.remove(worker)

    async def _finish(
        self, worker: _Worker, coro: Coroutine[Any, Any, Any], yielded: Any, context: Context, call: Incoming,
        cancelled: BaseException | None,
    ) -> None:  # fmt: skip
        if call.cancelled and cancelled is None:
            cancelled = asyncio.CancelledError()
        try:
            result = await _resume(coro, yielded, context, cancelled)
        except asyncio.CancelledError as error:
            if not call.cancelled or self._closing:
                self._failed(call, error)
                if worker.task.cancelling():
                    raise  # it is the worker that is to end
            else:
                call.method.stats.cancelled += 1
        except Exception as error:
            self._failed(call, error)
        else:
            self._succeeded(call, result)
        finally:
            if call.cancelled and not self._closing:  # also when the handler made light of it
                while worker.task.cancelling():
                    worker.task.uncancel()
            self.running -= 1
            call.method.stats.running -= 1
            call.worker = None
            self._calls.pop((call.stream.token, call.source, call.sequence), None)
            if not self.running:
                for waiter in self._idle_waiters:
                    if not waiter.done():
                        waiter.set_result(None)
                self._idle_waiters.clear()

    # --- answering --------------------------------------------------------------------------------------------

    def _succeeded(self, call: Incoming, result: Any) -> None:
        call.method.stats.finished(int((time.perf_counter() - call.started) * 1_000_000))
        if not call.wanted or call.cancelled:
            return
        try:
            call.stream.reply(_REPLY_ROUTE | call.source << 32, call.sequence, codec.pack_value(result))
        except LuabusError as error:
            text = f"{call.method.name} returned what cannot be sent: {error}"
            self._answer_error(
                call, RemoteError(text, type=type(error).__name__, text=str(error), method=call.method.name)
            )

    def _failed(self, call: Incoming, error: BaseException) -> None:
        method = call.method
        method.stats.finished(int((time.perf_counter() - call.started) * 1_000_000))
        method.stats.errors += 1
        if isinstance(error, LuabusError):
            failure = error
        else:
            failure = RemoteError.of(error, method.name, self.name)
            log.warning("%s for %s raised", method.name, ServiceId(call.source), exc_info=error)
        if call.wanted and not call.cancelled:
            self._answer_error(call, failure)

    def _answer_error(self, call: Incoming, error: LuabusError) -> None:
        call.stream.reply_error(call.source, call.sequence, error)

    def _refuse(
        self, stream: Stream, source: int, sequence: int, wanted: bool, error: LuabusError, reason: str
    ) -> None:
        if wanted:
            stream.reply_error(source, sequence, error)
        else:
            self.dropped[reason] = self.dropped.get(reason, 0) + 1
            log.debug("one-way message from %s dropped: %s", ServiceId(source), error)


def _begin(call: Incoming, args: list[Any]) -> Any:
    """Run the handler; in a context of its own, which knows the call."""
    current.set(call)
    return call.method.fn(*args)


@types.coroutine
def _resume(
    coro: Coroutine[Any, Any, Any], yielded: Any, context: Context, cancelled: BaseException | None
) -> Generator[Any, Any, Any]:
    """Go on with a coroutine whose first step yielded `yielded`, each step in `context`."""
    error = cancelled
    if error is not None and asyncio.isfuture(yielded) and yielded.cancel():
        error = None  # as asyncio does: what the handler awaits is cancelled, and tells it
    while True:
        value = None
        if error is None:
            try:
                value = yield yielded
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as raised:
                error = raised
        try:
            yielded = context.run(coro.send, value) if error is None else context.run(coro.throw, error)
        except StopIteration as stop:
            return stop.value
        error = None
