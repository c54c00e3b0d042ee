"""The call being handled: who called, with which trace and epoch, and how long it is awaited."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Protocol

from luabus.errors import Refused
from luabus.ids import ServiceId
from luabus.rpc.signatures import Method
from luabus.transport.stream import Stream

Meta = tuple[int, int, float | None]
"""Epoch, trace, and the seconds that are left."""


class Running(Protocol):
    """What runs a handler that waits."""

    def cancel(self) -> None:
        """Cancel the handler."""


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


class CallContext:
    """One call on its way through the dispatcher. `worker`: what runs it, while its handler waits."""

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
        self.worker: Running | None = None

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


current: ContextVar[CallContext | None] = ContextVar("luabus_call", default=None)
"""The call being handled in this context."""


def caller() -> Caller:
    """Inside a handler: who called. Raises `Refused` elsewhere."""
    call = current.get()
    if call is None:
        raise Refused("luabus.caller() has an answer only inside a handler")
    who = Caller(call.source)
    who.epoch, who.trace, who.stream, who.remaining_s = call.epoch, call.trace, call.stream, call.remaining_s
    return who
