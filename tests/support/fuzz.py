"""Mutated frames for a live router: a corpus of good ones, and ways to spoil them.

Most mutations leave a frame that the router takes (another destination, body, deadline, sequence ...), a few one that ends the
connection, so that a hundred thousand frames do not cost a hundred thousand handshakes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from luabus.protocol import codec
from luabus.protocol.compression import compress
from luabus.protocol.frames import (
    FLAG_COMPRESSED,
    FLAG_COUNT,
    FLAG_META,
    FLAG_REQUEST,
    HEADER_SIZE,
    Frame,
    Kind,
    encode,
)
from tests.support.raw import RawPeer

FATAL_SHARE = 0.02
"""Of the mutated frames so many may end their connection."""

_BATCH = 25
_STAMP = 0xF000_0000


def corpus() -> list[Frame]:
    """One good frame of each sort that a peer may send, and more of those that are handled in Python."""
    meta = FLAG_REQUEST | FLAG_META
    target, absent = 0x0002_0001, 0x0005_0001
    call = codec.pack_call("echo", ({"a": [1, 2.5, "text", b"bytes", None]},))
    packed = compress(codec.pack_call("echo", ("x" * 2000,)))
    assert packed is not None

    def to_router(method: str, *args: object) -> Frame:
        return Frame(Kind.CALL, meta, sequence=1, body=codec.pack_call(f"luabus.{method}", args), trace=7)

    return [
        Frame(Kind.TARGET, 0, 0, target, body=call),
        Frame(Kind.TARGET, meta, 0, target, sequence=1, body=call, deadline=1, trace=2),
        Frame(Kind.TARGET, meta, 0, absent, sequence=1, body=call),
        Frame(Kind.TARGET, FLAG_COMPRESSED, 0, target, body=packed),
        Frame(Kind.HASH, meta, 2, 0, 12345, sequence=1, body=call, trace=3),
        Frame(Kind.RANDOM, 0, 2, body=call),
        Frame(Kind.BROADCAST, FLAG_COUNT | FLAG_META, 2, sequence=1, body=call),
        Frame(Kind.BROADCAST, meta, 2, sequence=1, body=call),
        Frame(Kind.MASTER, meta, 2, sequence=1, body=call),
        Frame(Kind.REPLY, 0, 0, 0xFF00_0001, sequence=1, body=call),
        Frame(Kind.ERROR, 0, 0, target, sequence=1, body=codec.pack_value(["NoRoute", "x", {}])),
        Frame(Kind.CANCEL, sequence=1),
        Frame(Kind.REACHED, 0, 0, 0, 1, sequence=1, body=codec.pack_value([target])),
        Frame(Kind.PING, key=1, sequence=2),
        Frame(Kind.PING, key=1, body=codec.pack_value({"router.2": {2: 5}})),
        Frame(Kind.PONG, 0, 0, 5, 1, body=codec.pack_value({2: 5})),
        to_router("routes"),
        to_router("stats"),
        to_router("connections"),
        to_router("watch"),
        to_router("prefer", True),
        to_router("join", 0x0009_0001, "fuzz", 1, None, "hash"),
        to_router("leave"),
        to_router("master", 5),
        to_router("report", "a problem"),
        to_router("no_such_method"),
    ]


def mutations(seed: int, count: int) -> Iterator[tuple[bytes, bool]]:
    """`count` spoilt frames, the same ones for the same seed; True beside those that may end their connection."""
    chance = random.Random(seed)
    good = corpus()
    for _ in range(count):
        frame, fatal = chance.choice(good), chance.random() < FATAL_SHARE
        yield (_fatal if fatal else _harmless)(chance, frame), fatal


def _harmless(chance: random.Random, frame: Frame) -> bytes:
    """Spoilt in a way that leaves the framing intact."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        way = chance.randrange(8)
        if way == 0:
            frame = frame._replace(sequence=chance.choice((0, 1, 2, chance.getrandbits(32))))
        elif way == 1:
            frame = frame._replace(key=chance.getrandbits(32))
        elif way == 2:
            frame = frame._replace(deadline=chance.getrandbits(32), trace=chance.getrandbits(64))
        elif way == 3 and frame.kind is not Kind.CALL:
            frame = frame._replace(destination=chance.choice((0, 0x0002_0001, chance.getrandbits(32))))
        elif way == 4:
            frame = frame._replace(group=chance.choice((2, 9, chance.getrandbits(8))))
        elif frame.kind in (Kind.CALL, Kind.PING, Kind.PONG):
            continue  # a body that cannot be read ends the connection here
        elif way == 5 and frame.body:
            frame = frame._replace(body=frame.body[: chance.randrange(len(frame.body))])
        elif way == 6:
            frame = frame._replace(body=chance.randbytes(chance.choice((0, 1, 30, 300))))
        elif frame.body:
            body = bytearray(frame.body)
            for _ in range(chance.choice((1, 2, 8))):
                body[chance.randrange(len(body))] = chance.getrandbits(8)
            frame = frame._replace(body=bytes(body))
    return encode(frame)


def _fatal(chance: random.Random, frame: Frame) -> bytes:
    """Spoilt anywhere: flipped bits, cut, lengthened, another length announced."""
    data = bytearray(encode(frame))
    way = chance.randrange(5)
    if way == 0:
        for _ in range(chance.choice((1, 2, 20))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif way == 1:
        data = data[: chance.randrange(len(data))]
    elif way == 2:
        data += chance.randbytes(chance.choice((1, 24, 100)))
    elif way == 3:
        data[:4] = chance.choice((0, 1, 15, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)).to_bytes(4, "little")
    else:
        data[4 + chance.randrange(HEADER_SIZE - 4)] = chance.getrandbits(8)
    return bytes(data)


class Lane:
    """One hostile client: sends mutated frames, waits until they have been handled, connects again when it is thrown out.

    `handled` counts frames that the router has had in its hands: followed by a PING that it answered, or by its closing.
    """

    def __init__(self, port: int, secret: bytes) -> None:
        self._port = port
        self._secret = secret
        self._peer: RawPeer | None = None
        self._stamp = 0
        self.handled = 0
        self.connections = 0

    async def run(self, frames: Iterator[tuple[bytes, bool]]) -> None:
        batch: list[bytes] = []
        for data, fatal in frames:
            batch.append(data)
            if fatal or len(batch) == _BATCH:
                await self._deliver(batch, fatal)
                batch = []
        await self._deliver(batch, fatal=False)
        await self.close()

    async def _deliver(self, batch: list[bytes], fatal: bool) -> None:
        """Until it was handled: another lane that registers under the same id has this one thrown out."""
        while batch:
            try:
                await self._try(b"".join(batch), fatal)
            except (EOFError, OSError):
                await self.close()
                continue
            self.handled += len(batch)
            return

    async def _try(self, data: bytes, fatal: bool) -> None:
        if self._peer is None:
            self._peer = await RawPeer.open(self._port, self._secret)
            self.connections += 1
        self._peer.write(data)
        if fatal:
            self._peer.end()
            await self._peer.drop()
            await self.close()
            return
        self._stamp += 1
        self._peer.send(Frame(Kind.PING, key=_STAMP | self._stamp))
        while (await self._peer.frame(Kind.PONG)).key != _STAMP | self._stamp:
            pass

    async def close(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.close()
