"""Calls that arrive: find the handler, let `Executor` run it, answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar, overload

from luabus import option_checks
from luabus.errors import (
    ConfigError,
    Forbidden,
    FrameTooLarge,
    LuabusError,
    Overloaded,
    ProtocolError,
    RequestTimeout,
)
from luabus.exception_text import FATAL, is_a
from luabus.ids import ServiceId
from luabus.limits import MAX_CONCURRENCY, MOMENT_S
from luabus.logs import Log
from luabus.protocol import codec
from luabus.protocol.frames import (
    FLAG_COMPRESSED,
    FLAG_EPOCH,
    FLAG_META,
    FLAG_REQUEST,
    META,
    META_SIZE,
    Kind,
    make_route,
)
from luabus.rpc.context import CallContext, Meta, current
from luabus.rpc.executor import Executor
from luabus.rpc.method_access import MethodAccess
from luabus.rpc.signatures import OWN_PREFIX, Method, handler_name, unknown_method
from luabus.transport.guard import callback_failed, tell_failure, unsendable
from luabus.transport.stream import Receiver, Stream

log = Log("luabus.dispatch")

F = TypeVar("F", bound=Callable[..., Any])

_META, _REQUEST, _COMPRESSED, _EPOCH = (
    FLAG_META << 8,
    FLAG_REQUEST << 8,
    FLAG_COMPRESSED << 8,
    FLAG_EPOCH << 8,
)
_CALL, _MASTER = int(Kind.CALL), int(Kind.MASTER)
_REPLY_ROUTE = make_route(Kind.REPLY)
_NO_META: Meta = (0, 0, None)
_LARGE = 32 * 1024
"""Bytes of a body from which on it is unpacked where it lies, without a copy."""


class Dispatcher(Receiver):
    """A table of handlers. `serve(stream)` answers everything that arrives on a stream from it.

    `name`: for messages. `max_concurrency`: calls that run at once; the next request gets `Overloaded`, the next one-way
    message is dropped and counted in `dropped`. `gate(kind, call)` is called before a call to the master, or of a master, is
    run, with the frame's kind; an error that it returns refuses the call.
    """

    def __init__(
        self,
        name: str = "this process",
        *,
        max_concurrency: int = MAX_CONCURRENCY,
        check_types: bool = False,
        gate: Callable[[int, CallContext], LuabusError | None] | None = None,
    ) -> None:
        option_checks.check(max_concurrency=max_concurrency)
        self.name = name
        self.max_concurrency = max_concurrency
        self.check_types = check_types
        self.methods: dict[str, Method] = {}
        self.access = MethodAccess(self.methods)
        self.refused: Callable[[Forbidden], None] = lambda error: None
        """Called with each refusal by these rules."""
        self.group = 0
        """The number of this process' own group, whose members may call each other's methods; 0 for a process in none."""
        self.dropped: dict[str, int] = {}
        self._gate = gate
        self._workers = Executor(self._succeeded, self._failed)

    @overload
    def rpc(self, fn: F) -> F: ...
    @overload
    def rpc(
        self, fn: None = None, *, name: str | None = None, check_types: bool | None = None
    ) -> Callable[[F], F]: ...
    @overload
    def rpc(self, fn: F, *, name: str, check_types: bool | None = None) -> F: ...
    def rpc(self, fn: Any = None, *, name: str | None = None, check_types: bool | None = None) -> Any:
        """Register a handler, `async def` or plain `def`, under its own name or `name`. A decorator, with or without arguments.

        Any callable will do: a bound method, a `functools.partial`, an object with `__call__` (its class' name is its name), a
        builtin. Raises `ConfigError` for one whose arguments cannot travel, for a name that is in use, begins with `luabus.` or
        is not of 1 to 200 printable characters.
        """
        if fn is None:
            return lambda given: self.rpc(given, name=name, check_types=check_types)
        check = self.check_types if check_types is None else check_types
        method = Method(handler_name(fn, name), fn, check_types=check)
        if method.name in self.methods:
            text = f"two handlers are called {method.name!r}; give one another name"
            raise ConfigError(text, key=method.name)
        self._add(method)
        return fn

    def word(self, fn: Callable[..., Any], name: str = "") -> None:
        """Register one of the bus' own methods: `luabus.NAME`, by default with the function's name. It takes another's place."""
        self._add(Method(name or f"{OWN_PREFIX}{fn.__name__}", fn))

    def _add(self, method: Method) -> None:
        method.guarded = self.access.guards(method.name)
        self.methods[method.name] = method

    def serve(self, stream: Stream) -> None:
        """Answer what arrives on `stream`; fits a listener's `on_accept`."""
        stream.serve(self)

    def rename(self, name: str) -> None:
        """Call this process by another name in messages."""
        self.name = name

    # --- Receiver ---------------------------------------------------------------------------------------------

    def take(
        self, stream: Stream, route: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        kind = route & 0xFF
        # Only a call that may be refused is looked at closely: few are.
        doubtful = kind == _MASTER or self._workers.running >= self.max_concurrency
        meta = _NO_META
        if route & _META:
            deadline, epoch, trace = META.unpack_from(data, start)
            start += META_SIZE
            remaining_s = stream.remaining_s(deadline) if deadline else None
            if not route & _EPOCH:
                epoch = 0  # no router has vouched for it
            meta = (epoch, trace, remaining_s)
            doubtful = doubtful or epoch or (remaining_s is not None and remaining_s <= 0)
        wanted = route & _REQUEST != 0
        body: bytes | memoryview = b""
        try:
            if route & _COMPRESSED:
                body = stream.body_of(route, data[start:end])
            elif end - start < _LARGE:
                body = data[start:end]
            else:
                body = memoryview(data)[start:end]
            args = codec.unpack_call(body)
        except (ProtocolError, FrameTooLarge) as error:
            if kind == Kind.CALL and not codec.is_call(body):
                raise
            # It came through a router, or one value in it is at fault: not the stream.
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
        call = CallContext(stream, source, sequence, method, wanted, meta)
        if doubtful or method.guarded or not method.least <= len(args) <= method.most:
            refusal = self._refusal(kind, call, args)
            if refusal is not None:
                self._refuse(stream, source, sequence, wanted, refusal, type(refusal).__name__)
                return
        self._workers.run(call, args)

    def _refusal(self, kind: int, call: CallContext, args: list[Any]) -> LuabusError | None:
        method = call.method
        if method.guarded:
            forbidden = self.access.refusal(
                call.stream.token, call.source, method.name, self.group, self.name
            )
            if forbidden is not None:
                self.refused(forbidden)
                return forbidden
        if self._workers.running >= self.max_concurrency:
            return Overloaded(
                f"{self.name} runs {self.running} calls already, the most it takes",
                what="running calls", limit=self.max_concurrency, current=self.running,
            )  # fmt: skip
        if call.remaining_s is not None and call.remaining_s <= 0:
            method.stats.expired += 1
            return RequestTimeout(
                f"{method.name} came {-call.remaining_s:.3f} s after its deadline and was not started"
            )
        if self._gate is not None:
            refusal = self._gate(kind, call)
            if refusal is not None:
                return refusal
        return method.misfit(args)

    def cancel(self, stream: Stream, source: int, sequence: int) -> None:
        call = self._workers.awaited.get(stream, {}).get((source, sequence))
        if call is not None:
            self._cancel(call)

    def stream_closed(self, stream: Stream) -> None:
        for call in self._workers.awaited.pop(stream, {}).values():
            self._cancel(call)

    def _cancel(self, call: CallContext) -> None:
        # A handler may close the very stream that its call came on; it goes on.
        if call.cancelled or call.worker is None or call is current.get():
            return
        call.cancelled = True
        try:
            call.worker.cancel()
        except BaseException as error:  # what it waits for is a future of its own kind
            callback_failed(call.method.fn, error, log)

    # --- life -------------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many calls wait for something before they can answer."""
        return self._workers.running

    def calls(self) -> list[CallContext]:
        """Those calls."""
        return self._workers.calls()

    def running_for(self, stream: Stream) -> int:
        """How many of those this caller awaits."""
        return len(self._workers.awaited.get(stream, ()))

    async def idle(self, besides: Collection[CallContext] = ()) -> None:
        """Wait until no call is running, but the one that asks and `besides`."""
        await self._workers.idle(besides)

    async def close(
        self, timeout_s: float | None = MOMENT_S, besides: Collection[CallContext] = ()
    ) -> list[CallContext]:
        """Cancel what is running, but the call that asks and `besides`, and end the workers; returns the calls that go on after
        `timeout_s` seconds all the same."""
        return await self._workers.close(timeout_s, besides)

    def inside(self) -> CallContext | None:
        """The call of ours that this code is part of, also in a task that its handler has started."""
        return self._workers.inside()

    def snapshot(self) -> dict[str, Any]:
        """Every method with its counters."""
        return {name: method.stats.snapshot() for name, method in sorted(self.methods.items())}

    # --- answering --------------------------------------------------------------------------------------------

    def _succeeded(self, call: CallContext, result: Any) -> None:
        call.method.stats.finished(int((time.perf_counter() - call.started) * 1_000_000))
        if not call.wanted or call.cancelled:
            return
        try:
            call.stream.reply(_REPLY_ROUTE | call.source << 32, call.sequence, codec.pack_value(result))
        except LuabusError as error:
            self._answer_error(call, unsendable(error, call.method.name))
        except FATAL as error:  # of a time zone in it, say
            self._tell_failure(call, error)

    def _failed(self, call: CallContext, error: BaseException) -> None:
        method = call.method
        method.stats.finished(int((time.perf_counter() - call.started) * 1_000_000))
        method.stats.errors += 1
        self._tell_failure(call, error)

    def _tell_failure(self, call: CallContext, error: BaseException) -> None:
        def say() -> None:
            if not is_a(error, LuabusError):
                text = "%s for %s raised"
                log.failure(
                    text, call.method.name, ServiceId(call.source), error=error, level=logging.WARNING
                )

        answer = partial(self._answer_error, call) if call.wanted and not call.cancelled else None
        tell_failure(error, call.method.name, self.name, answer, say)

    def _answer_error(self, call: CallContext, error: LuabusError) -> None:
        call.stream.reply_error(call.source, call.sequence, error)

    def _refuse(
        self, stream: Stream, source: int, sequence: int, wanted: bool, error: LuabusError, reason: str
    ) -> None:
        if wanted:
            stream.reply_error(source, sequence, error)
        else:
            self.dropped[reason] = self.dropped.get(reason, 0) + 1
            if log.logger.isEnabledFor(logging.DEBUG):
                log.debug("one-way message from %s dropped: %s", ServiceId(source), error)
