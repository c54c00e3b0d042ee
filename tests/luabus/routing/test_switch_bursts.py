"""What one turn of the loop may add for those who do not read: one message goes to many."""

from __future__ import annotations

import pytest

from luabus.ids import ServiceId
from luabus.protocol.frames import HEADER, Kind, make_route
from luabus.protocol.send_buffer import SendBuffer
from luabus.protocol.stream_options import StreamOptions
from luabus.protocol.waiting import BURST, SLOW, Waiting
from luabus.routing.switch import Switch

RECEIVERS = 600
LIMIT = 32 << 20
CHUNK = 256 * 1024
"""What a loop reads at once from a socket."""
TAKEN_BY_SYSTEM = 200_000
"""Bytes that the socket of one that does not read has room for: they all run full within one chunk."""


class Stopped:
    """The shell of a connection whose other end does not read."""

    def __init__(self) -> None:
        self.waiting = -TAKEN_BY_SYSTEM

    def write(self, data: bytes) -> int:
        self.waiting += len(data)
        return max(0, self.waiting)

    def write_soon(self) -> None: ...

    def due_changed(self) -> None: ...

    def shut(self, *, abort: bool) -> None: ...


@pytest.mark.parametrize("body", [4_000, 60_000, 1_000_000])
def test_a_broadcast_to_many_who_stopped_reading_stays_within_the_limit(body: int) -> None:
    switch = Switch(lambda: 0.0, routing=True)
    switch.waiting = total = Waiting(LIMIT)
    options = StreamOptions.of_bus()
    ports = [SendBuffer(token, Stopped(), options, waiting=total) for token in range(2, RECEIVERS + 2)]
    total.crowded = lambda: [port.curb() for port in ports]  # type: ignore[assignment, func-returns-value]
    for number, port in enumerate(ports, 1):
        port._opened = True
        target = ServiceId.of(2, number)
        switch.table.put(target, port)
        switch.attach(port, target)
    sender = SendBuffer(1, Stopped(), options, waiting=total)
    switch.attach(sender)
    frame = HEADER.pack(body, make_route(Kind.BROADCAST, 0, 2), 0, sender.id, 0) + bytes(body)
    frames = max(1, CHUNK // len(frame))
    peak = 0
    for _ in range(3):  # the sockets are full in the first
        switch.receive(sender, frame * frames)
        switch.flush()
        peak = max(peak, total.total)
    assert peak == total.total == sum(max(0, port._shell.waiting) for port in ports)  # type: ignore[attr-defined]
    assert LIMIT // 2 < peak <= LIMIT + RECEIVERS * SLOW + BURST + len(frame)
    assert sender.undeliverable["overloaded"] > 0
