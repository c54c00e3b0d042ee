"""The wire: a fixed 24-byte header, then the body. Pure; `docs/protocol.md` is the same thing in prose and hex.

    offset  size  field
    0       4     length       bytes after the header (meta and body)
    4       1     kind         see `Kind`
    5       1     flags        see the FLAG_ constants
    6       2     group        of HASH, RANDOM, BROADCAST, MASTER
    8       4     destination  service id of TARGET; of REPLY, ERROR: who asked
    12      4     key          hash key of HASH
    16      4     source       service id of the sender; routers verify it, 0 is stamped
    20      4     sequence     names a request among its sender's; 0 when no answer is wanted

All little-endian. Bytes 4..11 are read as one integer, the *route*: a router looks it up as a whole. With FLAG_META, 16
more bytes stand before the body: deadline u32 (router's ms; 0 = none), epoch u32 (of a master, with FLAG_EPOCH), trace u64.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from luabus.errors import FrameTooLarge, ProtocolError
from luabus.limits import PROTOCOL_VERSION

HEADER: Final = Struct("<IQIII")
HEADER_SIZE: Final = HEADER.size
META: Final = Struct("<IIQ")
META_SIZE: Final = META.size
HEADER_META: Final = Struct("<IQIIIIIQ")

MAGIC: Final = int.from_bytes(b"LuaB", "little")
"""The key field of HELLO."""


class Kind(IntEnum):
    """What a frame is. Below 16: between the two ends of a stream. 16..31: calls. From 32: what follows a request."""

    HELLO = 1
    AUTH = 2
    WELCOME = 3
    PING = 4
    PONG = 5
    BYE = 6
    CALL = 16
    TARGET = 17
    HASH = 18
    RANDOM = 19
    BROADCAST = 20
    MASTER = 21
    REPLY = 32
    ERROR = 33
    CANCEL = 34
    REACHED = 35


FLAG_REQUEST: Final = 0x01
"""An answer with the same sequence is awaited."""
FLAG_META: Final = 0x02
"""16 bytes of meta stand before the body."""
FLAG_COMPRESSED: Final = 0x04
"""The body is one zstandard frame."""
FLAG_COUNT: Final = 0x08
"""BROADCAST: tell the sender with REACHED how many got it (always so with FLAG_REQUEST)."""
FLAG_EPOCH: Final = 0x10
"""The meta's epoch counts: the sender speaks as its group's master, and a router vouches for it. TARGET to MASTER, with META."""
KNOWN_FLAGS: Final = FLAG_REQUEST | FLAG_META | FLAG_COMPRESSED | FLAG_COUNT | FLAG_EPOCH

_KINDS: Final = frozenset(int(kind) for kind in Kind)


def make_route(kind: int, flags: int = 0, group: int = 0, destination: int = 0) -> int:
    """Bytes 4..11 of the header as one integer."""
    return kind | flags << 8 | group << 16 | destination << 32


class Frame(NamedTuple):
    """One frame, taken apart. Tests, the handshake and tools use it; the per-frame loops do not."""

    kind: Kind
    flags: int = 0
    group: int = 0
    destination: int = 0
    key: int = 0
    source: int = 0
    sequence: int = 0
    body: bytes = b""
    deadline: int = 0
    epoch: int = 0
    trace: int = 0


def encode(frame: Frame) -> bytes:
    """The bytes of `frame`; meta is written when FLAG_META is set, and FLAG_EPOCH where a routed frame has an epoch in it."""
    flags = frame.flags
    if frame.epoch and flags & FLAG_META and Kind.TARGET <= frame.kind <= Kind.MASTER:
        flags |= FLAG_EPOCH
    route = make_route(frame.kind, flags, frame.group, frame.destination)
    if frame.flags & FLAG_META:
        head = HEADER_META.pack(
            META_SIZE + len(frame.body), route, frame.key, frame.source, frame.sequence,
            frame.deadline, frame.epoch, frame.trace,
        )  # fmt: skip
    else:
        head = HEADER.pack(len(frame.body), route, frame.key, frame.source, frame.sequence)
    return head + frame.body


def check_header(length: int, route: int, limit: int) -> None:
    """Raises `FrameTooLarge` or `ProtocolError` for a header that cannot be right, before its body is kept."""
    kind = route & 0xFF
    if kind not in _KINDS:
        raise ProtocolError(f"unknown frame kind {kind}; this is not luabus, or a newer version of it")
    flags = route >> 8 & 0xFF
    if flags & ~KNOWN_FLAGS:
        raise ProtocolError(f"unknown flags 0x{flags:02x} in a {Kind(kind).name} frame")
    if length > limit:
        raise FrameTooLarge(
            f"a frame of {length} bytes was announced; the limit is {limit}", size=length, limit=limit
        )
    if flags & FLAG_META and length < META_SIZE:
        raise ProtocolError(f"a frame with meta has {length} bytes; meta alone takes {META_SIZE}")
    if flags & FLAG_EPOCH and not (flags & FLAG_META and Kind.TARGET <= kind <= Kind.MASTER):
        raise ProtocolError(f"an epoch, which is for routed frames with meta, in a {Kind(kind).name} frame")


def split(data: bytes, limit: int) -> Iterator[tuple[Frame, int]]:
    """Each complete frame at the start of `data`, with the offset behind it. An incomplete rest is left.

    Raises `FrameTooLarge` or `ProtocolError` at the first header that cannot be right.
    """
    pos = 0
    while len(data) - pos >= HEADER_SIZE:
        length, route, key, source, sequence = HEADER.unpack_from(data, pos)
        check_header(length, route, limit)
        start = pos + HEADER_SIZE
        end = start + length
        if end > len(data):
            return
        deadline = epoch = trace = 0
        flags = route >> 8 & 0xFF
        if flags & FLAG_META:
            deadline, epoch, trace = META.unpack_from(data, start)
            start += META_SIZE
            if not flags & FLAG_EPOCH:
                epoch = 0
        pos = end
        yield (
            Frame(
                Kind(route & 0xFF), flags, route >> 16 & 0xFFFF, route >> 32, key, source, sequence,
                data[start:end], deadline, epoch, trace,
            ),
            end,
        )  # fmt: skip


def hello(body: bytes, *, secured: bool, given_id: int = 0) -> bytes:
    """HELLO: magic in the key, version in the sequence, 1 as destination when this end has a secret.

    `given_id`: in the acceptor's HELLO, the client id by which it will know the connector.
    """
    route = make_route(Kind.HELLO, destination=int(secured))
    return HEADER.pack(len(body), route, MAGIC, given_id, PROTOCOL_VERSION) + body
