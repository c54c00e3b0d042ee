"""What an exception says of itself, whatever its class does: its type's name, its text, its traceback within a limit. Pure.

An exception's `__str__`, its type's name, the `repr` of a callback are user code, and may raise anything. What is asked here has
an answer all the same. `SystemExit` and `KeyboardInterrupt` alone pass (`FATAL`): they are for whoever runs the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeGuard, TypeVar

E = TypeVar("E", bound=BaseException)

FATAL: Final = (SystemExit, KeyboardInterrupt)
"""What ends a process: whoever else catches everything lets these go on, or hands them on."""
LONGEST_TRACEBACK: Final = 8192
"""Characters of a traceback that travels or is logged: those at its end, where it was raised."""
_LONGEST_CHAIN: Final = 64
"""Exceptions of a chain that are looked at."""
_MOST_FRAMES: Final = 20
"""Frames of each."""
_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def is_a(error: BaseException | None, kind: type[E] | tuple[type[E], ...]) -> TypeGuard[E]:
    """`isinstance`, as `except` has it: an exception's `__class__` is user code, and is not asked."""
    return issubclass(type(error), kind)


def name_of(kind: type) -> str:
    """A class' own name, whatever its metaclass makes of it."""
    return str(type.__dict__["__name__"].__get__(kind))


def text_of(value: object) -> str:
    """`str(value)` as valid Unicode, or that it cannot be had."""
    return _spoken(value, str)


def repr_of(value: object) -> str:
    """`repr(value)`, or that it cannot be had."""
    return _spoken(value, repr)


def plain(value: object) -> object:
    """A str or int of a class of its own as the built-in one that it holds, asking it nothing; anything else, a bool too, as it
    is."""
    if issubclass(type(value), str):
        return str.__str__(value)
    if issubclass(type(value), int) and type(value) is not bool:
        return int.__int__(value)  # type: ignore[arg-type]
    return value


def _spoken(value: object, speak: Callable[[object], str]) -> str:
    try:
        return "".join(speak(value)).encode(errors="replace").decode()
    except FATAL:
        raise
    except BaseException as error:
        return f"(a {name_of(type(value))} whose text cannot be had: {name_of(type(error))})"


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception and of those that led to it: the last 8,192 characters, for little more work."""
    try:
        if _is_small(error):
            import traceback  # not above: a command that ends well has no use for it

            text = "".join(traceback.format_exception(error)).encode(errors="replace").decode()
            return text[-LONGEST_TRACEBACK:]
    except FATAL:
        raise
    except BaseException:  # something in it does not answer: then one after the other
        pass
    parts: list[str] = []
    size = 0
    link: BaseException | None = error
    while link is not None and size < LONGEST_TRACEBACK and len(parts) < _LONGEST_CHAIN:
        part = f"{_frames(link)}{name_of(type(link))}: {text_of(link)}\n"
        link, how = _led_to(link)
        parts.append(how + part)
        size += len(part)
    return "".join(reversed(parts))[-LONGEST_TRACEBACK:]


def _is_small(error: BaseException) -> bool:
    """Whether few exceptions hang together with this one: `traceback` looks at all of them, however few are shown."""
    left, seen = [error], set[int]()
    while left:
        link = left.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        if len(seen) + len(left) > _LONGEST_CHAIN:
            return False
        left += [other for other in (link.__cause__, link.__context__) if other is not None]
        left += link.exceptions if isinstance(link, BaseExceptionGroup) else ()
    return True


def _led_to(error: BaseException) -> tuple[BaseException | None, str]:
    """The exception before this one in its chain, and what is said between the two."""
    cause = _attribute(error, "__cause__")
    if cause is not None:
        return cause, _CAUSED
    context = None if _attribute(error, "__suppress_context__") else _attribute(error, "__context__")
    return context, _DURING if context is not None else ""


def _frames(error: BaseException) -> str:
    try:
        import traceback

        lines = traceback.format_tb(_attribute(error, "__traceback__"), -_MOST_FRAMES)
        return "Traceback (most recent call last):\n" + "".join(lines)
    except Exception:  # a module's loader does not give its lines
        return ""


def _attribute(error: BaseException, name: str) -> Any:
    """An exception's own attribute, whatever its class has in its place."""
    return BaseException.__dict__[name].__get__(error)
