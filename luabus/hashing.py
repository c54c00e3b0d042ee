"""Hash keys: the same number on every machine, in every version, in any language. Pure.

An int is used as it is, modulo 2^32. A str (as UTF-8) or bytes goes through CRC-32 (ISO-HDLC, the one of zip and PNG).
The slot is the hash modulo the number of slots. `docs/protocol.md` has the test vectors.
"""

from __future__ import annotations

from zlib import crc32

from luabus.errors import BadArguments


def hash_key(key: int | str | bytes) -> int:
    """The 32-bit hash of a key. Raises `BadArguments` for another type (a bool too: it is hardly meant)."""
    if isinstance(key, str):
        try:
            return crc32(key.encode())
        except UnicodeEncodeError as error:
            raise BadArguments(f"a hash key is not valid Unicode: {error}", path="key") from None
    if isinstance(key, int) and not isinstance(key, bool):
        return key & 0xFFFF_FFFF
    if isinstance(key, bytes):
        return crc32(key)
    raise BadArguments(f"a hash key is int, str or bytes, not {type(key).__name__}", path="key")
