"""The frame loop of a process that routes nothing: every frame of a connection is delivered. Pure."""

from __future__ import annotations

from luabus.limits import MAX_PLANS
from luabus.protocol.frames import FLAG_META, HEADER, HEADER_SIZE, META_SIZE, check_header
from luabus.protocol.port import Port
from luabus.protocol.waiting import Waiting

_META = FLAG_META << 8


class Delivery:
    """What the connections of a process have in common; `waiting`: for those that do not read; `dirty`: those to whose buffers
    something was appended, for all together `gathered` bytes of broadcasts.

    Hands frames to `port.deliver`. A `Switch` is one that routes as well, from its first registration on (`routing`), but not
    what comes over ports that deliver in any case (`Port.delivers`)."""

    def __init__(self) -> None:
        self.routing = False
        self._checked: set[int] = set()
        self.waiting = Waiting()
        self.dirty: list[Port] = []
        self.gathered = 0

    def receive(self, port: Port, data: bytes) -> int:
        """Deliver every complete frame at the start of `data`; returns the offset behind the last. Ends early when a call that it
        delivered has made this process a router, and the port is not one that delivers all the same.

        Raises `FrameTooLarge` or `ProtocolError` at a frame that cannot be right: those before it have been delivered, and
        the stream must be closed.
        """
        unpack = HEADER.unpack_from
        deliver = port.deliver
        limit = port.frame_limit
        checked = self._checked
        delivers = port.delivers
        size = len(data)
        last = size - HEADER_SIZE
        pos = frames = 0
        try:
            while pos <= last and (delivers or not self.routing):
                length, route, key, source, sequence = unpack(data, pos)
                start = pos + HEADER_SIZE
                end = start + length
                if end > size or length > limit or (length < META_SIZE and route & _META):
                    check_header(length, route, limit)
                    break
                if route not in checked:
                    self._check(route)
                frames += 1
                pos = end
                deliver(route, key, source, sequence, data, start, end)
        finally:
            port.frames_in += frames
        return pos

    def flush(self) -> None:
        """Write what was appended to the buffers of those that are `dirty`."""
        dirty, self.dirty, self.gathered = self.dirty, [], 0
        for port in dirty:
            port.flush()

    def _check(self, route: int) -> None:
        """Raise `ProtocolError` for a route that cannot be; else remember that it can."""
        check_header(META_SIZE, route, META_SIZE)
        if len(self._checked) >= MAX_PLANS:
            self._checked.clear()
        self._checked.add(route)

    def detach(self, port: Port) -> None:
        """Forget a closed port."""

    def cancel(self, port: Port, sequence: int) -> None:
        """`port` awaits the answer to its request `sequence` no longer."""

    def answer(self, port: Port, route: int, sequence: int, body: bytes) -> None:
        """`port` answers a request that this process has not made itself: nobody's here, but for a router."""

    def digests(self) -> bytes:
        """What a PONG tells of the table here: nothing."""
        return b""
