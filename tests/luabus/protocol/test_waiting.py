"""What may wait for slow receivers, all together."""

from __future__ import annotations

import contextlib

import pytest

from luabus.errors import NotConnected, Overloaded
from luabus.limits import DEFAULT_WAITING_LIMIT
from luabus.protocol.send_buffer import GATHER, SendBuffer
from luabus.protocol.stream_options import StreamOptions
from luabus.protocol.waiting import SLOW, Waiting

BUFFER = 8 << 20
BODY = bytes(60_000)


class Stopped:
    """The shell of a connection whose socket takes nothing, or everything."""

    def __init__(self, reads: bool) -> None:
        self.waiting = 0
        self.reads = reads

    def write(self, data: bytes) -> int:
        self.waiting = 0 if self.reads else self.waiting + len(data)
        return self.waiting

    def write_soon(self) -> None: ...

    def due_changed(self) -> None: ...

    def shut(self, *, abort: bool) -> None: ...


def connection(total: Waiting, *, reads: bool = False, buffer: int = BUFFER) -> SendBuffer:
    made = SendBuffer(1, Stopped(reads), StreamOptions(send_buffer=buffer), waiting=total)
    made.peer_takes(buffer)
    made._opened = True
    return made


def fill(one: SendBuffer) -> int:
    """Send until it is overloaded; returns the bytes that wait."""
    with contextlib.suppress(Overloaded):
        while True:
            one.post(16, 0, BODY)
    one.flush()
    return one._shell.waiting  # type: ignore[attr-defined, no-any-return]


def test_a_few_slow_ones_have_their_full_buffers() -> None:
    total = Waiting()
    assert all(BUFFER - len(BODY) <= fill(connection(total)) <= BUFFER for _ in range(3))


@pytest.mark.parametrize("count", [50, 500])
def test_many_share_the_total_and_whoever_reads_has_room(count: int) -> None:
    total = Waiting()
    slow = [connection(total) for _ in range(count)]
    kept = [fill(one) for one in slow]
    assert total.total == sum(kept) <= DEFAULT_WAITING_LIMIT + count * (SLOW + GATHER)
    reading = connection(total, reads=True)
    for _ in range(1000):
        reading.post(16, 0, BODY)
    assert fill(connection(total)) >= SLOW


def test_whoever_is_slow_and_has_more_than_its_share_gets_no_more_until_it_has_read() -> None:
    total = Waiting(10 << 20)
    first = connection(total)
    assert fill(first) <= (5 << 20) + GATHER
    others = [connection(total) for _ in range(8)]
    for one in others:
        fill(one)
    first.flush()
    assert first.credit < 0
    first._shell.waiting = 0  # type: ignore[attr-defined]
    first.taken(0)
    assert first.credit == first.kept_limit == min(BUFFER, total.limit - total.total)
    for one in others:
        one.taken(0)
    first.flush()
    assert first.credit == first.kept_limit == BUFFER


def test_what_was_kept_for_one_that_has_gone_is_counted_no_longer() -> None:
    total = Waiting()
    told: list[int] = []
    total.shrunk = lambda: told.append(total.total)
    slow = [connection(total) for _ in range(40)]
    for one in slow:
        fill(one)
    for one in slow:
        one.is_closed = True
        one.count_waiting(0)
    assert total.total == 0
    assert len(told) >= 1  # whoever gives memory back is told when most of it has gone
    with pytest.raises(NotConnected):
        slow[0].post(16, 0, BODY)


def test_a_little_that_comes_and_goes_is_not_told() -> None:
    total = Waiting()
    total.shrunk = lambda: pytest.fail("for so little")
    for _ in range(100):
        total.changed(1 << 20)
        total.changed(-(1 << 20))


@pytest.mark.parametrize("limit", [1 << 20, 16 << 20, DEFAULT_WAITING_LIMIT])
def test_nobody_goes_on_by_what_was_allowed_while_there_was_room(limit: int) -> None:
    """One message to each of many: none has more than its own buffer allows, all together would have far too much."""
    total = Waiting(limit)
    size = limit // 5 - 100
    many = [connection(total, buffer=limit) for _ in range(40)]
    total.crowded = lambda: [one.curb() for one in many]  # type: ignore[assignment, func-returns-value]
    refused = 0
    for one in many:
        try:
            one.post(16, 0, bytes(size))
        except Overloaded:
            refused += 1
        one.flush()
    assert total.total <= limit + len(many) * SLOW
    assert refused >= 34
    for one in many:
        one._shell.waiting = 0  # type: ignore[attr-defined]
        one.taken(0)
    for one in many:
        one.flush()
    assert all(one.credit == limit for one in many)
