"""What went wrong last on a connection, in words. Pure."""

from __future__ import annotations

from typing import Final

from luabus.errors import FrameTooLarge, ProtocolError, RemoteError, from_wire
from luabus.protocol.codec import unpack_value
from luabus.protocol.compression import decompress
from luabus.protocol.frames import FLAG_COMPRESSED, FLAG_META, HEADER, HEADER_SIZE, META_SIZE
from luabus.protocol.port import LastError, Port
from luabus.routing.next_hop import describe_route, named
from luabus.routing.sinks import CROWDED, FORBIDDEN, LATE, NO_MASTER, NO_ROUTE, OVERLOADED, STALE
from luabus.routing.table import Table

_LONGEST: Final = 200
"""Characters, so that many rows fit into one answer."""
_UNFOLDED: Final = 64 * 1024
"""Bytes of a compressed error that are looked at: the frame is small, what it unfolds to need not be."""

_LOST: Final = {
    NO_ROUTE: "what it sent to {route} reached nobody: nobody is there",
    NO_MASTER: "what it sent to {route} reached nobody: the group has no master",
    FORBIDDEN: "what it sent to {route} reached nobody: its owner does not let this caller in",
    OVERLOADED: "what it sent to {route} was lost: the receiver does not read",
    STALE: "what it sent to {route} was refused: it is master no longer",
    LATE: "it answered a request whose asker no longer waits",
}


def in_words(error: LastError | None, table: Table[Port]) -> str | None:
    """In the names that `table` knows; one line of at most 200 characters; None for None."""
    if error is None:
        return None
    if isinstance(error, bytes):
        text = _answered(error, table)
    elif isinstance(error, str):
        text = error
    elif error[0] == CROWDED:
        text = f"{error[1]} bytes for it were lost or refused: it does not read, and its buffer is full"
    else:
        reason, route = error
        text = _LOST[reason].format(route=describe_route(route, table) if reason != LATE else "")
    text = " ".join(text.split()).encode(errors="replace").decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _answered(frame: bytes, table: Table[Port]) -> str:
    """An ERROR frame that went through: whom it told what."""
    _, route, _, _, _ = HEADER.unpack_from(frame)
    flags = route >> 8 & 0xFF
    body = frame[HEADER_SIZE + (META_SIZE if flags & FLAG_META else 0) :]
    try:
        error = from_wire(unpack_value(decompress(body, _UNFOLDED) if flags & FLAG_COMPRESSED else body))
    except (ProtocolError, FrameTooLarge) as broken:
        error = broken
    kind = "" if isinstance(error, RemoteError) else f"{type(error).__name__}: "
    return f"answered {named(route >> 32, table)}: {kind}{error}"
