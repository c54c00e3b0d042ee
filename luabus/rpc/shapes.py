"""What a word between processes may be given: each argument's shape, declared once, checked before anything is done. Pure.

    JOIN = (SERVICE_ID, Text(100), Whole(0, 1 << 64), Optional(Whole(1, 65_535)))
    dispatcher.rpc(checked(join, JOIN), name="luabus.join")

Types are meant exactly: a bool is no number, a number no text. What does not fit is `BadArguments` that names the place
(`epochs[3]`), what was found there and what is allowed. It is never printed whole: a stranger may have sent a megabyte.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, Protocol

from luabus.errors import BadArguments
from luabus.ids import MAX_GROUP, MAX_INSTANCE, ServiceId

_SHOWN: Final = 40
NAME_LENGTH: Final = 100
"""Characters of a name that others are told."""
MAX_U32: Final = (1 << 32) - 1
MAX_U64: Final = (1 << 64) - 1


class Shape(Protocol):
    """What a value may be."""

    @property
    def allowed(self) -> str:
        """In words."""

    def check(self, value: Any, path: str) -> None:
        """Raises `BadArguments` with the place of the first thing that does not fit."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def check(self, value: Any, path: str) -> None:
        if type(value) is not int or not self.least <= value <= self.most:
            raise misfit(path, value, self.allowed)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a whole: a float from 0 to 1."""

    allowed: str = "a part from 0.0 to 1.0"

    def check(self, value: Any, path: str) -> None:
        if type(value) is not float or not 0.0 <= value <= 1.0:
            raise misfit(path, value, self.allowed)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of at most `most` characters, at least `least`. All of them can be printed, unless it is `free`: no control
    characters, no line ends, none that turn the direction of writing or are not seen."""

    most: int
    least: int = 0
    free: bool = False

    @property
    def allowed(self) -> str:
        kind = "a text" if self.free else "a printable text"
        return f"{kind} of {f'{self.least} to' if self.least else 'at most'} {self.most} characters"

    def check(self, value: Any, path: str) -> None:
        fits = type(value) is str and self.least <= len(value) <= self.most
        if not fits or not (self.free or value.isprintable()):
            raise misfit(path, value, self.allowed)


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever: the word itself says what is wrong with it."""

    allowed: str = "anything"

    def check(self, value: Any, path: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values, of the same type."""

    values: tuple[Any, ...]

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"

    def check(self, value: Any, path: str) -> None:
        if not any(type(value) is type(known) and value == known for known in self.values):
            raise misfit(path, value, self.allowed)


@dataclass(frozen=True, slots=True)
class Either:
    """What fits one of these shapes."""

    shapes: tuple[Shape, ...]

    @property
    def allowed(self) -> str:
        return ", or ".join(shape.allowed for shape in self.shapes)

    def check(self, value: Any, path: str) -> None:
        for shape in self.shapes:
            try:
                shape.check(value, path)
            except BadArguments as error:
                if error.path != path:  # of the right kind, with something wrong inside
                    raise
            else:
                return
        raise misfit(path, value, self.allowed)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `most` such items."""

    item: Shape
    most: int

    @property
    def allowed(self) -> str:
        return f"a list of at most {self.most} items"

    def check(self, value: Any, path: str) -> None:
        if type(value) is not list or len(value) > self.most:
            raise misfit(path, value, self.allowed)
        for index, item in enumerate(value):
            self.item.check(item, f"{path}[{index}]")


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of at most `most` such keys to such values."""

    key: Shape
    value: Shape
    most: int

    @property
    def allowed(self) -> str:
        return f"a map of at most {self.most} entries, each key {self.key.allowed}"

    def check(self, value: Any, path: str) -> None:
        if type(value) is not dict or len(value) > self.most:
            raise misfit(path, value, self.allowed)
        for key, item in value.items():
            self.key.check(key, f"{path} key {shown(key)}")
            self.value.check(item, f"{path}[{shown(key)}]")


@dataclass(frozen=True, slots=True)
class Record:
    """A map that has these fields, and may have the `optional` ones; what else is in it is not looked at: a newer peer may say
    more."""

    fields: Mapping[str, Shape]
    optional: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        return f"a map with {', '.join(self.fields)}" if self.fields else "a map"

    def check(self, value: Any, path: str) -> None:
        if type(value) is not dict or any(name not in value for name in self.fields):
            raise misfit(path, value, self.allowed)
        for name, shape in (*self.fields.items(), *self.optional.items()):
            if name in value:
                shape.check(value[name], f"{path}[{name!r}]")


ANYTHING: Final = Anything()
FLAG: Final = OneOf((True, False))
NAME: Final = Text(NAME_LENGTH)


@dataclass(frozen=True, slots=True)
class Optional:
    """What fits the shape, or None."""

    shape: Shape

    @property
    def allowed(self) -> str:
        return f"{self.shape.allowed}, or None"

    def check(self, value: Any, path: str) -> None:
        if value is not None:
            self.shape.check(value, path)


GROUP: Final = Whole(1, MAX_GROUP)
SERVICE_ID: Final = Either((Whole(0, MAX_U32), Text(NAME_LENGTH + 6, least=1)))
"""A number or `2.1` or `mail.1`; which of them there can be, `ServiceId.parse_service` says."""
MEMBER: Final = Whole(ServiceId.of(1, 1), ServiceId.of(MAX_GROUP, MAX_INSTANCE))


def misfit(path: str, value: Any, allowed: str) -> BadArguments:
    """The error for a value that is not what it may be."""
    return BadArguments(f"{path} is {allowed}, not {shown(value)}", path=path)


def shown(value: Any) -> str:
    """A stranger's value in a few printable characters."""
    kind = type(value)
    if kind is str or kind is bytes:
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN]) + (
            "..." if len(value) > _SHOWN else ""
        )
    if kind is list or kind is dict:
        return f"a {kind.__name__} of {len(value)}"
    if value is None or kind in (bool, float):
        return repr(value)
    if kind is int and value.bit_length() <= 128:
        return repr(value)
    return f"a {kind.__name__}"


def checked(function: Callable[..., Any], shapes: Sequence[Shape], name: str = "") -> Callable[..., Any]:
    """`function` (called by position, as words are), its arguments checked; those left out have their defaults.

    `name` is what the error's `method` says. Raises `TypeError` at once when there are not as many shapes as parameters.
    """
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != len(shapes):
        raise TypeError(
            f"{name or function.__name__} has {len(parameters)} parameters and {len(shapes)} shapes"
        )
    checks = tuple(zip(parameters, shapes, strict=True))

    @wraps(function)
    def check_first(*args: Any) -> Any:
        try:
            for (parameter, shape), value in zip(checks, args, strict=False):
                shape.check(value, parameter)
        except BadArguments as error:
            error.method = name
            raise
        return function(*args)

    return check_first
