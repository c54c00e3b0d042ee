"""What user code raises, kept to the one call that it concerns.

A handler, its errors' `__str__`, a hook may raise anything. It is logged, the caller (if one waits) is told, and everything
else goes on. `SystemExit` and `KeyboardInterrupt` end the process, in order (`loops.interrupt`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from luabus.errors import LuabusError, RemoteError, failure_of
from luabus.exception_text import FATAL, is_a, name_of, repr_of
from luabus.logs import Log
from luabus.transport.loops import interrupt

PLAIN_VALUES: Final = frozenset((type(None), bool, int, float, str, bytes, list, dict))
"""What handlers mostly return."""


def tell_failure(
    error: BaseException,
    method: str,
    where: str,
    answer: Callable[[LuabusError], None] | None,
    log: Callable[[], None] | None = None,
) -> None:
    """`method` at `where` raised `error`: call `answer` with what the caller is told, and `log`. Raises nothing."""
    try:
        if answer is not None:
            answer(failure_of(error, method, where))
    except FATAL as another:  # of its text, which was asked for
        error = another
        if answer is not None:
            text = name_of(type(error))
            answer(RemoteError(f"{method} at {where} raised {text}", type=text, method=method))
    try:
        if log is not None:
            log()
    except FATAL as another:  # of its text, or of whoever handles the record
        error = another
    if is_a(error, FATAL):
        interrupt(error)


def unsendable(error: LuabusError, method: str) -> RemoteError:
    """What the caller is told where the result of `method` cannot be sent for `error`."""
    kind, text = name_of(type(error)), str(error)
    return RemoteError(f"{method} returned what cannot be sent: {text}", type=kind, text=text, method=method)


def is_work(result: Any) -> bool:
    """Whether what user code returned is to be awaited. Raises `TypeError` for what somebody else would have to run."""
    if type(result) in PLAIN_VALUES:  # looking closer is slow
        return False
    if isinstance(result, AsyncGenerator):
        raise TypeError("an async generator cannot be sent; collect what it yields, and return the list")
    return inspect.isawaitable(result)


def callback_failed(callback: Callable[..., Any], error: BaseException, log: Log) -> None:
    """A callback raised `error`, and nobody waits for an answer. Raises nothing."""

    def say() -> None:
        if not is_a(error, FATAL):
            log.failure("a callback failed: %s", repr_of(callback), error=error)

    tell_failure(error, "a callback", "this process", None, say)
