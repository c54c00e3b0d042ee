"""Bodies: msgpack `[method, *args]`, and any one value for a reply. Pure.

What can be sent: None, bool, int (-2^63 .. 2^64-1), float, str, bytes, list, dict, datetime with a time zone (it arrives
in UTC, exact to the microsecond); anything else is a `BadArguments` that names the value's path. Subclasses and tuples are
something else: they would arrive as another type than they were sent. (A bytearray or memoryview passes as the bytes it holds.)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgpack

from luabus.errors import BadArguments, ProtocolError
from luabus.limits import MAX_DEPTH, SMALL_ITEMS

_PLAIN = (type(None), bool, int, float, str, bytes)
_pack = msgpack.Packer(strict_types=True, datetime=True, autoreset=True).pack
_unpackb = msgpack.unpackb


def pack_call(method: str, args: tuple[Any, ...]) -> bytes:
    """The body of a call. Raises `BadArguments` with the path of the first value that cannot be sent."""
    if type(method) is not str:
        raise BadArguments(f"the method is a str, not {type(method).__name__}", path="method")
    try:
        return _pack([method, *args])
    except (TypeError, ValueError, OverflowError, RecursionError):
        _explain(method, "method", 0)
        for index, value in enumerate(args):
            _explain(value, f"args[{index}]", 1)
        raise


def pack_value(value: Any) -> bytes:
    """The body of a reply. Raises `BadArguments` with the path of the first value that cannot be sent."""
    try:
        return _pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        _explain(value, "result", 0)
        raise


def unpack_value(body: bytes | memoryview) -> Any:
    """The value in `body`. Raises `ProtocolError` for anything that is not exactly one value within the limits."""
    try:
        return _unpackb(
            body, timestamp=3, strict_map_key=False, ext_hook=_no_extension,
            max_array_len=SMALL_ITEMS, max_map_len=SMALL_ITEMS,
        )  # fmt: skip
    except ValueError as error:
        # The decoder allocates what a header announces, so nested headers of big arrays cost a hundred times the
        # body's size. Skipping builds nothing and fails unless all that is announced is really there: after it,
        # the announced sizes add up to less than the body and are safe to allocate.
        if "exceeds max_" not in str(error):
            raise _not_msgpack(error) from None
    except Exception as error:  # a dozen types for hostile bytes: StackError, TypeError, OverflowError ...
        raise _not_msgpack(error) from None
    try:
        unpacker = msgpack.Unpacker(max_buffer_size=len(body))
        unpacker.feed(body)
        unpacker.skip()
        return _unpackb(body, timestamp=3, strict_map_key=False, ext_hook=_no_extension)
    except Exception as error:
        raise _not_msgpack(error) from None


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code} is not used here")


def _not_msgpack(error: Exception) -> ProtocolError:
    text = str(error)
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ProtocolError(f"a body that is not msgpack within the limits: {reason}")


def unpack_call(body: bytes | memoryview) -> list[Any]:
    """`[method, *args]`. Raises `ProtocolError` when the body is something else."""
    call = unpack_value(body)
    if type(call) is not list or not call or type(call[0]) is not str:
        raise ProtocolError(f"the body of a call is [method, ...args], not {_shape(call)}")
    return call


def _shape(value: Any) -> str:
    """What a body is, in a word: printing what a stranger sent can take all the stack there is."""
    first = f" that begins with {type(value[0]).__name__}" if type(value) is list and value else ""
    return f"{type(value).__name__}{first}"


def _explain(value: Any, path: str, depth: int) -> None:
    """Find what msgpack refused and say where it is."""
    kind = type(value)
    if depth > MAX_DEPTH:
        raise BadArguments(f"{path} is nested more than {MAX_DEPTH} levels deep", path=path)
    if kind is list:
        for index, item in enumerate(value):
            _explain(item, f"{path}[{index}]", depth + 1)
    elif kind is dict:
        for key, item in value.items():
            _explain(key, f"{path} key {key!r:.60}", depth + 1)
            _explain(item, f"{path}[{key!r:.60}]", depth + 1)
    elif kind is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise BadArguments(f"{path} is an int of {value.bit_length()} bits; 64 can be sent", path=path)
    elif kind is str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadArguments(f"{path} is not valid Unicode: {error}", path=path) from None
    elif kind is datetime:
        if value.tzinfo is None:
            raise BadArguments(f"{path} is a datetime without a time zone; add tzinfo", path=path)
    elif kind not in _PLAIN:
        hint = "; send list(...) instead" if isinstance(value, tuple | set | frozenset) else ""
        raise BadArguments(
            f"{path} is a {kind.__name__}; None, bool, int, float, str, bytes, list, dict and datetime"
            f" can be sent{hint}",
            path=path,
        )
