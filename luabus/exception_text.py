"""What an exception says of itself, whatever its class does: its type's name, its text, its traceback within a limit. Pure.

An exception's `__str__`, its type's name, the `repr` of a callback are user code, and may raise anything. What is asked here has
an answer all the same. `SystemExit` and `KeyboardInterrupt` alone pass (`FATAL`): they are for whoever runs the process.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import logging  # whoever logs has it

FATAL: Final = (SystemExit, KeyboardInterrupt)
"""What ends a process: whoever else catches everything lets these go on, or hands them on."""
LONGEST_TRACEBACK: Final = 8192
"""Characters of a traceback that travels or is logged: those at its end, where it was raised."""
_LONGEST_CHAIN: Final = 100
"""Exceptions of a chain that are looked at: each may be short."""
_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_ERROR: Final = 40
"""`logging.ERROR`."""
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def name_of(kind: type) -> str:
    """A class' own name, whatever its metaclass makes of it."""
    return str(type.__dict__["__name__"].__get__(kind))


def text_of(value: object) -> str:
    """`str(value)` as valid Unicode, or that it cannot be had."""
    return _spoken(value, str)


def repr_of(value: object) -> str:
    """`repr(value)`, or that it cannot be had."""
    return _spoken(value, repr)


def _spoken(value: object, speak: Callable[[object], str]) -> str:
    try:
        return "".join(speak(value)).encode(errors="replace").decode()
    except FATAL:
        raise
    except BaseException as error:
        return f"(a {name_of(type(value))} whose text cannot be had: {name_of(type(error))})"


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception and of those that led to it: the last 8,192 characters, and no more work than for those."""
    parts: list[str] = []
    size = 0
    seen: set[int] = set()
    try:
        link: BaseException | None = error
        while link is not None and size < LONGEST_TRACEBACK and len(seen) < _LONGEST_CHAIN:
            seen.add(id(link))
            parts.append(_one_traceback(link))
            size += len(parts[-1])
            cause = link.__cause__
            earlier = cause if cause is not None or link.__suppress_context__ else link.__context__
            link = earlier if isinstance(earlier, BaseException) and id(earlier) not in seen else None
            if link is not None:
                parts.append(_CAUSED if cause is not None else _DURING)
    except FATAL:
        raise
    except BaseException as another:
        parts.append(f"(what led to it cannot be had: {name_of(type(another))})\n")
    return "".join(reversed(parts))[-LONGEST_TRACEBACK:]


def _one_traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, chain=False)).encode(errors="replace").decode()
    except FATAL:
        raise
    except BaseException:
        frames = "".join(traceback.format_tb(BaseException.__dict__["__traceback__"].__get__(error)))
        return f"{frames}{name_of(type(error))}: {text_of(error)}\n"


def log_failure(
    log: logging.Logger, text: str, *args: Any, error: BaseException, level: int = _ERROR
) -> None:
    """Log `text` with the error's traceback, within its limit. Raises nothing of what the error's class does."""
    if not log.isEnabledFor(level):
        return
    record = log.makeRecord(log.name, level, __file__, 0, text, args, None)
    record.exc_text = traceback_of(error).rstrip(
        "\n"
    )  # a formatter writes this, and asks the exception nothing
    log.handle(record)
