"""Bodies: msgpack `[method, *args]`, and any one value for a reply. Pure.

What can be sent: None, bool, int (-2^63 .. 2^64-1), float, str, bytes, list, dict, datetime with a time zone (it arrives
in UTC, exact to the microsecond); anything else is a `BadArguments` that names the value's path. Subclasses and tuples are
something else: they would arrive as another type than they were sent. (A bytearray or memoryview passes as the bytes it holds.)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime
from typing import Any, Final

import msgpack

from luabus.errors import BadArguments, ProtocolError
from luabus.exception_text import FATAL, name_of, repr_of, text_of
from luabus.limits import MAX_DEPTH, SMALL_ITEMS

_PLAIN: Final = (type(None), bool, int, float, str, bytes, bytearray, memoryview)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S: Final = -62_135_596_800
_LAST_S: Final = 253_402_300_799
"""The years 1 to 9999 in UTC: a datetime at their edges with an offset may lie outside, where nobody could unpack it."""

_pack = msgpack.Packer(strict_types=True, autoreset=True).pack
_unpackb = msgpack.unpackb


def pack_call(method: str, args: tuple[Any, ...]) -> bytes:
    """The body of a call. Raises `BadArguments` with the path of the first value that cannot be sent."""
    if type(method) is not str:
        raise BadArguments(f"the method is a str, not {name_of(type(method))}", path="method")
    call = [method, *args]
    try:
        return _pack(call)
    except Exception:
        return _pack_odd(call, ("method", *(f"args[{index}]" for index in range(len(args)))))


def pack_value(value: Any) -> bytes:
    """The body of a reply. Raises `BadArguments` with the path of the first value that cannot be sent."""
    try:
        return _pack(value)
    except Exception:
        return _pack_odd(value, ())


def _pack_odd(value: Any, paths: tuple[str, ...]) -> bytes:
    """Pack what holds a datetime, or cannot be packed: then say where. (`paths`: those of a list's values.)

    A datetime asks its time zone, which is user code: it may raise anything, and pack something itself. So it is never asked in
    the packer that all share.
    """
    try:
        return msgpack.Packer(strict_types=True, default=_timestamp).pack(value)
    except FATAL:
        raise
    except BaseException as error:
        try:
            if paths:
                for path, part in zip(paths, value, strict=True):
                    _explain(part, path, 1)
            else:
                _explain(value, "result", 0)
        except (BadArguments, *FATAL):
            raise
        except BaseException:  # what packing asked answers otherwise now
            pass
        where = "args" if paths else "result"
        raise BadArguments(f"{where} cannot be sent: {_reason(error)}", path=where) from None


def _timestamp(value: Any) -> msgpack.Timestamp:
    """What a datetime is on the wire."""
    if type(value) is not datetime:
        raise TypeError(f"a {name_of(type(value))} cannot be sent")
    since = value - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if not _FIRST_S <= seconds <= _LAST_S:
        raise OverflowError("it is outside of the years 1 to 9999 in UTC")
    return msgpack.Timestamp(seconds, since.microseconds * 1000)


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


def is_call(body: bytes | memoryview) -> bool:
    """Whether a body that could not be unpacked is msgpack `[method, ...]` all the same: then something in it is what Python
    cannot hold (a time beyond the year 9999, a text that is no Unicode, a map for a key), and only this message is at fault."""
    try:
        unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(body)), unicode_errors="replace")
        unpacker.feed(body)
        unpacker.skip()
        if unpacker.tell() != len(body):
            return False
        unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(body)), unicode_errors="replace")
        unpacker.feed(body)
        return unpacker.read_array_header() > 0 and type(unpacker.unpack()) is str
    except Exception:
        return False


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
            shown = f"{repr_of(key):.60}"
            _explain(key, f"{path} key {shown}", depth + 1)
            _explain(item, f"{path}[{shown}]", depth + 1)
    elif kind is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise BadArguments(f"{path} is an int of {value.bit_length()} bits; 64 can be sent", path=path)
    elif kind is str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadArguments(f"{path} is not valid Unicode: {error}", path=path) from None
    elif kind is datetime and value.tzinfo is None:
        raise BadArguments(f"{path} is a datetime without a time zone; add tzinfo", path=path)
    elif kind is datetime or kind in _PLAIN:
        try:
            msgpack.Packer(strict_types=True, default=_timestamp).pack(value)
        except FATAL:
            raise
        except BaseException as error:  # a time zone may raise anything
            text = f"{path} is a {name_of(kind)} that cannot be sent: {_reason(error)}"
            raise BadArguments(text, path=path) from None
    else:
        raise BadArguments(
            f"{path} is a {name_of(kind)}; None, bool, int, float, str, bytes, list, dict and datetime"
            f" can be sent{_hint(kind)}",
            path=path,
        )


def _hint(kind: type) -> str:
    """What to send instead."""
    if issubclass(kind, tuple | set | frozenset | Generator):
        return "; send list(...) instead"
    if issubclass(kind, AsyncGenerator):
        return "; collect what it yields, and send the list"
    plain = next(
        (known for known in (bool, int, float, str, bytes, dict, list) if issubclass(kind, known)), None
    )
    return f"; send {plain.__name__}(...) instead" if plain is not None else ""


def _reason(error: BaseException) -> str:
    return f"{name_of(type(error))}: {text_of(error)}"
