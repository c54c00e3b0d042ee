"""Hash keys: the same number on every machine, in every version, in any language. Pure.

An int is used as it is, modulo 2^32. A str (as UTF-8) or bytes goes through CRC-32 (ISO-HDLC, the one of zip and PNG).
Whose it is, `luabus.routing.buckets` says. `docs/protocol.md` has the test vectors.
"""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

from luabus.errors import BadArguments

_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,640}")
"""Python converts no longer ones everywhere (`sys.set_int_max_str_digits`)."""


def key_of(text: str) -> int | str:
    """The key that a person writes: `5` or `-5` is a whole number, `"5"` in double quotes the text, everything else text."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text


def hash_key(key: int | str | bytes) -> int:
    """The 32-bit hash of a key. Raises `BadArguments` for another type (a bool too: it is hardly meant)."""
    if isinstance(key, str):
        try:
            return crc32(str.encode(key))
        except UnicodeEncodeError as error:
            raise BadArguments(f"a hash key is not valid Unicode: {error}", path="key") from None
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__and__(key, 0xFFFF_FFFF)
    if isinstance(key, bytes):
        return crc32(key)
    raise BadArguments(f"a hash key is int, str or bytes, not {type(key).__name__}", path="key")
