"""One connection as frames go through it: what may be sent there, what it waits for, what was counted."""

from __future__ import annotations

from typing import Final

from luabus.ids import CLIENT_BASE
from luabus.limits import DEFAULT_FRAME_LIMIT
from luabus.protocol.principal import CLIENT, Principal

LastError = str | bytes | tuple[str, int]
"""What went wrong: in words, as an ERROR frame that it answered with, or as the reason and route of what was lost. It is noted
where every microsecond counts, and put into words (`routing.last_error`) when somebody looks."""


class Port:
    """The state of a connection that the per-frame loop reads and writes.

    `send_limit`: bytes kept for it when it does not read, `kept_limit`: those of them that may be kept now, while others do not
    read either; `out`: bytes to be written, `credit`: bytes that may still be appended (renewed at each flush), `frame_limit`:
    the longest frame taken from it, in bytes after the header, `reserved`: bytes of answers among those that wait (they pass also
    without credit, up to `kept_limit`), `outstanding`: its requests in flight and the port (or, for a broadcast, the ports) that
    will answer, `callees`: the ports it has asked since it is there, `callers`: those which have asked it (`NO_PORTS` for whoever
    has neither), `delivers`: all that comes over it is for this process, whatever this process routes, `principal`: who is at the
    other end, once that is known, `claimed`: the highest epoch that it has claimed as a master, `last_error`: what went
    wrong last for it. Counters are totals.
    """

    __slots__ = (
        "bytes_in", "bytes_out", "callees", "callers", "claimed", "credit", "delivers", "frame_limit", "frames_in", "frames_out",
        "id", "kept_limit", "last_error", "out", "outstanding", "principal", "reserved", "send_limit", "token", "undeliverable",
    )  # fmt: skip

    def __init__(self, token: int, send_limit: int, frame_limit: int = DEFAULT_FRAME_LIMIT) -> None:
        self.token = token
        self.id = CLIENT_BASE | token
        self.credit = self.send_limit = self.kept_limit = send_limit
        self.reserved = 0
        self.delivers = False
        self.frame_limit = frame_limit
        self.out: list[bytes] = []
        self.outstanding: dict[int, Port | set[Port]] = {}
        self.callees: set[Port] = NO_PORTS
        self.callers: set[Port] = NO_PORTS
        self.undeliverable: dict[str, int] = {}
        self.principal: Principal = CLIENT
        self.claimed = 0
        self.last_error: LastError | None = None
        self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = 0

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        """A frame for this process; its meta and body are `data[start:end]`."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write `out`."""
        raise NotImplementedError

    def count_lost(self, reason: str, route: int, frames: int = 1) -> None:
        """Count frames *from* this port, by `route`, that reached nobody."""
        self.undeliverable[reason] = self.undeliverable.get(reason, 0) + frames
        self.note((reason, route))

    def note(self, error: LastError) -> None:
        """Keep what went wrong last."""
        self.last_error = error


NO_PORTS: Final[set[Port]] = set()
"""What a port knows that has asked nobody and was asked by nobody; it stays empty. Most connections need no set of their own."""
