"""Optional compression of large bodies, with zstandard. Pure.

A body longer than the threshold is compressed, and sent so if that made it shorter. What a frame may unfold to is limited like a
frame that came plain: a small frame cannot fill the memory.
"""

from __future__ import annotations

from typing import Final

from luabus.errors import FrameTooLarge, ProtocolError

NEVER: Final = 1 << 62
"""The threshold that no body reaches."""

_LEVEL: Final = 3


def compress(body: bytes) -> bytes | None:
    """The compressed body, or None when it would not be shorter."""
    import zstandard

    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(body)
    return packed if len(packed) < len(body) else None


def decompress(body: bytes, limit: int) -> bytes:
    """The plain body. Raises `FrameTooLarge` when it has more than `limit` bytes, `ProtocolError` when it is not zstandard."""
    import zstandard

    try:
        size = zstandard.frame_content_size(body)
        if size < 0:
            raise ProtocolError("a compressed body that does not say how long it is")
        if size > limit:
            raise FrameTooLarge(
                f"a body unfolds to {size} bytes; the limit is {limit}", size=size, limit=limit
            )
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ProtocolError(f"a compressed body that is not zstandard: {error}") from None
