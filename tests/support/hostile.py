"""What user code may do: everything that can be raised, and classes that raise it wherever they are asked something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, NoReturn

import luabus


class Abort(BaseException):
    """No `Exception`, and nobody's."""


class Metaclass(type):
    """Its classes' names cannot be had."""

    @property
    def __name__(cls) -> NoReturn:  # type: ignore[override]
        raise Abort


class Silent(Exception):
    def __str__(self) -> str:
        raise Abort

    __repr__ = __str__


class Nameless(Exception, metaclass=Metaclass):
    pass


class Circular(Exception):
    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise Abort


class Classless(Exception):
    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise Abort


class Pretender(Exception):
    """No `SystemExit`, though it says so."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return SystemExit


class Mute(Exception):
    def __getattribute__(self, name: str) -> NoReturn:
        raise Abort


class MuteError(luabus.LuabusError):
    def __getattribute__(self, name: str) -> NoReturn:
        raise Abort


class NoField(luabus.LuabusError):
    user: str


class NoText(luabus.LuabusError):
    def __str__(self) -> str:
        raise RecursionError


class NoFields(luabus.LuabusError):
    def fields(self) -> dict[str, Any]:
        raise GeneratorExit


class OddForm(luabus.LuabusError):
    def to_wire(self) -> list[Any]:
        return [self, {object()}]


class OddValue(luabus.LuabusError):
    value: object = None

    def __init__(self) -> None:
        super().__init__("odd")
        self.value = {Unspeakable(): [Unspeakable()], "at": datetime(2020, 1, 1, tzinfo=Zone(Abort()))}


class Never(luabus.LuabusError):
    def __init__(self, user: str, limit: int) -> None:
        super().__init__(f"{user} over {limit}")

    def __eq__(self, other: object) -> bool:
        raise Abort

    def __reduce__(self) -> NoReturn:
        raise Abort

    __hash__ = None  # type: ignore[assignment]


class Shadow(luabus.LuabusError):
    """Once it is at the other end, its text cannot be had."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __str__(self) -> str:
        return self._secret

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_secret":
            raise Abort
        super().__setattr__(name, value)


class Unspeakable:
    def __repr__(self) -> str:
        raise Abort

    __str__ = __repr__

    def __hash__(self) -> int:
        return 1


class Zone(tzinfo):
    """A time zone that raises, or answers, what it was given."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def chain(length: int) -> BaseException:
    """An exception with a long history."""
    error: BaseException = ValueError("the first")
    for number in range(length):
        another = ValueError(f"number {number} " + "x" * 100)
        another.__cause__ = error
        error = another
    return error


def _grouped() -> BaseException:
    return BaseExceptionGroup("many", [Abort(), Silent(), ValueError("x")])


ERRORS: Final[dict[str, Callable[[], BaseException]]] = {
    "a BaseException": Abort, "GeneratorExit": GeneratorExit, "RecursionError": RecursionError, "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration, "MemoryError": MemoryError, "CancelledError": asyncio.CancelledError,
    "no text": Silent, "no name": Nameless, "no cause": Circular, "a group": _grouped, "a long chain": lambda: chain(2000),
    "no class": Classless, "another's class": Pretender, "no attributes": Mute, "a luabus error without attributes": MuteError,
    "a surrogate": lambda: ValueError("\ud800"), "a field that is not set": lambda: NoField("no field given"),
    "a luabus error without text": NoText, "fields that raise": NoFields, "an odd form": OddForm, "odd values": OddValue,
    "its own __init__, __eq__, __reduce__": lambda: Never("ann", 3), "a text of its own": lambda: Shadow("hidden"),
}  # fmt: skip


def _results() -> Iterator[tuple[str, object]]:
    """What a handler may return and nobody can send."""
    released = memoryview(bytearray(b"abc"))
    released.release()
    endless: list[object] = []
    endless.append(endless)
    yield "a strided buffer", memoryview(b"abcdef")[::2]
    yield "a released buffer", released
    yield "a key that cannot be shown", {Unspeakable(): 1}
    yield "a tuple for a key", {(1, Unspeakable()): 1}
    yield "a list in itself", endless
    yield "a huge int", [1 << 70]
    yield "a surrogate", {"\ud800": 1}
    yield "an instance", Unspeakable()
    yield "a class", Nameless
    for answer in (None, 5, Abort(), GeneratorExit(), timedelta(days=3)):
        yield f"a time zone: {answer!r}", {"at": [datetime(2020, 1, 1, tzinfo=Zone(answer))]}
    yield "after the year 9999", datetime.max.replace(tzinfo=Zone(timedelta(hours=-5)))
    yield "before the year 1", datetime.min.replace(tzinfo=Zone(timedelta(hours=5)))


RESULTS: Final = dict(_results())


# --- values of a sender ----------------------------------------------------------------------------------------


def answer_nothing(*_: object) -> NoReturn:
    raise ValueError("it answers nothing")


class HostileText(str):
    """A text whose class raises whatever it is asked."""

    __slots__ = ()
    __str__ = __repr__ = __format__ = partition = rpartition = __hash__ = __eq__ = answer_nothing  # type: ignore[assignment]


class HostileNumber(int):
    """A number whose class raises whatever it is asked."""

    __str__ = __repr__ = __format__ = __index__ = __int__ = __rshift__ = __le__ = __ge__ = answer_nothing  # type: ignore[assignment]


class Hostile:
    """Neither."""

    __str__ = __repr__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __radd__ = answer_nothing  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]
