"""Classes of errors and what they hold, whatever their code does: fields, how instances are made, values that can travel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import FunctionType, MemberDescriptorType
from typing import Any, Final

from luabus.exception_text import FATAL, name_of, text_of

MAX_DEPTH: Final = 8
"""Levels of a field's value that are told."""
_HEAP_TYPE: Final = 1 << 9
"""The flag of classes that are made in Python."""


def annotated(cls: type) -> Iterator[str]:
    """The fields that a class declares by annotation."""
    return (name for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind))


def init_arguments(cls: type) -> Iterator[str]:
    """The arguments of an `__init__` of the class' own."""
    init = cls.__dict__.get("__init__")
    code = init.__code__ if isinstance(init, FunctionType) else None
    return iter(() if code is None else code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


def is_importable(kind: type) -> bool:
    """Whether another process finds the class by its module and name."""
    found: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is kind


def builtin_of(kind: type) -> Any:
    """The class in C that makes its instances: of `class DiskFull(LuabusError, OSError)` that is OSError."""
    return next(
        base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE and "__new__" in base.__dict__
    )


def held_in_slots(error: BaseException) -> dict[str, Any]:
    """What an error keeps beside its `__dict__`: in `__slots__`, or as an OSError its `errno`."""
    held = {}
    for kind in reversed([kind for kind in type(error).__mro__ if kind not in BaseException.__mro__]):
        for name, slot in kind.__dict__.items():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):  # it is not set
                    held[name] = slot.__get__(error)
                    if held[name] is None and not kind.__flags__ & _HEAP_TYPE:
                        del held[name]  # in C that is how it is not set
    return held


def may_arrive(kind: type) -> bool:
    """Whether an answer may raise it: nobody ends or cancels his caller, or an iteration there."""
    rest = [base for base in kind.__mro__ if base is not BaseException and issubclass(base, BaseException)]
    return not issubclass(kind, StopIteration) and all(issubclass(base, Exception) for base in rest)


def plain(value: Any, depth: int = 0) -> Any:
    """`value`, or what comes closest to it and can be sent: an error must arrive whatever its fields hold."""
    try:
        if depth < MAX_DEPTH:
            if isinstance(value, dict):
                return {plain(key, MAX_DEPTH): plain(item, depth + 1) for key, item in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [plain(item, depth + 1) for item in value]
        if value is None or type(value) in (bool, float, bytes):
            return value
        if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
            return int(value)
        if type(value) is datetime and value.tzinfo is not None:
            return value.astimezone(UTC)
    except FATAL:
        raise
    except BaseException as error:
        return f"(a {name_of(type(value))} that cannot be told: {name_of(type(error))})"
    return text_of(value)
