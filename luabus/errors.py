"""Every failure luabus reports, as one tree.

    LuabusError
    ├── NotConnected         no router is reachable from here
    ├── NoRoute              nobody there: unknown instance, or an empty group
    ├── NoMaster             the group has no master now
    ├── RequestTimeout       no answer within the time the caller gave
    ├── ConnectionLost       the far end went away while the request was in flight
    │   ├── RouterLost       ... the router that carried it
    │   └── PeerLost         ... the service that had it (or the other end of a plain stream)
    ├── Overloaded           a stated limit is reached; nothing was queued
    ├── RemoteError          the handler raised
    ├── UnknownMethod        the service has no such handler
    ├── BadArguments         a value cannot be sent, or does not fit the handler's signature
    ├── FrameTooLarge        a frame exceeds the configured limit
    ├── ProtocolError        bytes that are not the protocol; that stream is closed
    ├── AuthError            the secret is missing or another one, or somebody is not who he says
    ├── Forbidden            the callee's owner does not let this caller in, or it may not steer
    ├── IdInUse              a live process with a newer incarnation holds this service id
    ├── StaleEpoch           a master's message or claim carries an epoch that is no longer the highest
    ├── Refused              a verb that cannot be done as asked (unknown token, wrong state ...)
    └── ConfigError          a setting is missing or wrong

Each has typed fields beside its message, and travels: `wire_form` and `from_wire` are inverse, so that an error raised
in a router or in a service is the same type at the caller. A program's own error classes travel by their qualified names,
`mail.errors.BoxFull`, and so take nobody's place; one that the other end does not have is a `RemoteError` there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Final, Self

from luabus.error_classes import (
    MAX_DEPTH,
    annotated,
    builtin_of,
    held_in_slots,
    init_arguments,
    is_importable,
    may_arrive,
    plain,
)
from luabus.exception_text import FATAL, is_a, name_of, text_of, traceback_of
from luabus.messages import Message, of_map

__all__ = [
    "AuthError",
    "BadArguments",
    "ConfigError",
    "ConnectionLost",
    "Forbidden",
    "FrameTooLarge",
    "IdInUse",
    "LuabusError",
    "NoMaster",
    "NoRoute",
    "NotConnected",
    "Overloaded",
    "PeerLost",
    "ProtocolError",
    "Refused",
    "RemoteError",
    "RequestTimeout",
    "RouterLost",
    "StaleEpoch",
    "UnknownMethod",
    "explain",
    "failure_of",
    "from_wire",
    "wire_form",
]

_own: Final[dict[str, type[LuabusError]]] = {}
"""luabus' own classes by name."""
_users: Final[dict[str, type[LuabusError]]] = {}
"""A program's own classes by qualified name, the last one where a name was used again."""
_REPORTED: Final = "reported"
_MAIN: Final = "__main__."
"""The module of a program's classes has this name wherever it was started, which says nothing elsewhere."""
_LONGEST_NAME: Final = 500
"""Characters of a class' qualified name that travel."""
_complete = False
"""luabus' own classes have all been made; those that come now are users'."""


class LuabusError(Exception):
    """The root. Keyword arguments fill the fields, and no others: those that the class declares by annotation.

    A subclass with an `__init__` of its own has its arguments as fields as well, where it keeps them under their names.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    answered_by: int | None = None
    """The service that answered with this. None: nobody did, or a router; then no handler has run."""
    reported: Message | None = None
    """The same as `message` by code and values, where it was raised with them (`coded`); it travels with the error."""

    def __init_subclass__(cls) -> None:
        declared = (*cls._fields, *annotated(cls), *init_arguments(cls))
        cls._fields = tuple(dict.fromkeys(name for name in declared if not hasattr(LuabusError, name)))
        if _complete:
            _users[f"{cls.__module__}.{cls.__qualname__}"] = cls
        else:
            _own[cls.__name__] = cls

    def __init__(self, message: str = "", **fields: Any) -> None:
        super().__init__(message)
        for name, value in fields.items():
            if name not in self._fields:
                raise TypeError(f"{type(self).__name__} has no field {name!r}; it has {self._fields}")
            setattr(self, name, value)

    @classmethod
    def coded(cls, message: Message, **fields: Any) -> Self:
        """The error that tells this message; its English is the text."""
        error = cls(str(message), **fields)
        error.reported = message
        return error

    def __str__(self) -> str:
        return Exception.__str__(self)  # also where it is a KeyError as well

    @property
    def message(self) -> str:
        """The text, as in `str(error)`."""
        return str(self)

    def fields(self) -> dict[str, Any]:
        """The typed fields that are set, and their values."""
        return {name: getattr(self, name) for name in self._fields if hasattr(self, name)}

    def to_wire(self) -> list[Any]:
        """`[type name, message, fields]`: what an ERROR frame's body holds, in types that can be sent."""
        fields = (
            self.fields() if self.reported is None else {**self.fields(), _REPORTED: self.reported.as_map()}
        )
        return [_wire_name(type(self)), plain(str(self)), plain(fields)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied without a call of `__init__`, whose arguments need not be those of `Exception`."""
        kind = type(self)
        where = kind if is_importable(kind) else _wire_name(kind)
        return _restored, (where, self.args, {**held_in_slots(self), **self.__dict__})


class NotConnected(LuabusError):
    """No router is connected, so nothing was sent."""

    routers: tuple[str, ...] | list[str] = ()


class NoRoute(LuabusError):
    """The router knows nobody for this route; answered at once, nothing was delivered."""

    route: str = ""


class NoMaster(LuabusError):
    """The group has no master at this moment; nothing was delivered."""

    group: int = 0


class RequestTimeout(LuabusError):
    """No answer within `timeout_s` seconds. The callee was told to stop."""

    route: str = ""
    timeout_s: float = 0.0


class ConnectionLost(LuabusError):
    """Went away while the request was in flight: it may or may not have been carried out."""

    peer: str = ""
    reason: str = ""


class RouterLost(ConnectionLost):
    """The router that carried the request went away."""


class PeerLost(ConnectionLost):
    """The service that had the request went away."""


class Overloaded(LuabusError):
    """A limit is reached: `current` of `limit` units of `what`. Nothing was queued; try later."""

    what: str = ""
    limit: int = 0
    current: int = 0


class RemoteError(LuabusError):
    """The handler raised: `type` and `text` of the exception and its `traceback` as text."""

    type: str = ""
    text: str = ""
    traceback: str = ""
    method: str = ""

    @classmethod
    def of(cls, error: BaseException, method: str, where: str) -> RemoteError:
        """What the caller is told of an exception that `method` raised at `where`."""
        kind, text = name_of(type(error)), text_of(error)
        message = f"{method} at {where} raised {kind}{f': {text}' if text else ''}"
        return cls(message, type=kind, text=text, traceback=traceback_of(error), method=method)


class UnknownMethod(LuabusError):
    """The service has no handler of that name."""

    method: str = ""
    known: tuple[str, ...] | list[str] = ()


class BadArguments(LuabusError):
    """A value that cannot be sent (`path` names it, such as `args[0]['when']`), or that the handler does not take."""

    path: str = ""
    method: str = ""


class FrameTooLarge(LuabusError):
    """A frame of `size` bytes where `limit` are allowed."""

    size: int = 0
    limit: int = 0


class ProtocolError(LuabusError):
    """The bytes are not this protocol, or not its turn."""


class AuthError(LuabusError):
    """The two ends do not share the secret, or an end is not who it must be, or somebody passes on what they say."""


class Forbidden(LuabusError):
    """`caller` (a service, or "client") may not call `callee`, or its `method`; those in `allowed` may. Nothing was done."""

    caller: str = ""
    callee: str = ""
    method: str = ""
    allowed: tuple[str, ...] | list[str] = ()


class IdInUse(LuabusError):
    """A live process with a newer incarnation holds this service id."""

    service_id: int = 0
    incarnation: int = 0
    holder: int = 0


class StaleEpoch(LuabusError):
    """An epoch lower than the highest one seen for the group."""

    group: int = 0
    epoch: int = 0
    highest: int = 0


class Refused(LuabusError):
    """The verb cannot be done as asked; the message says why and what exists."""


class ConfigError(LuabusError):
    """A setting is missing or wrong; `key` is its path."""

    key: str = ""


_own[LuabusError.__name__] = LuabusError
_complete = True


def explain(error: BaseException) -> Message:
    """What an error tells: by code where it was raised with one, else in its own words."""
    if is_a(error, LuabusError) and error.reported is not None:
        return error.reported
    return Message.verbatim(text_of(error) or name_of(type(error)))


def failure_of(error: BaseException, method: str, where: str) -> LuabusError:
    """What the caller is told of what `method` raised at `where`: the error itself, or a `RemoteError`."""
    return error if is_a(error, LuabusError) else RemoteError.of(error, method, where)


def wire_form(error: LuabusError) -> list[Any]:
    """`error.to_wire()`; where its class' own code makes no such thing, that of a `RemoteError` that says so.

    Raises nothing but `SystemExit` and `KeyboardInterrupt`.
    """
    try:
        name, text, fields = error.to_wire()
        if type(name) is str and type(text) is str and type(fields) is dict:
            return [plain(name)[:_LONGEST_NAME], plain(text), plain(fields)]
    except FATAL:
        raise
    except BaseException as another:
        kind, text = name_of(type(error)), text_of(error)
        broken = f"{kind}: {text} (what else it tells cannot be had: {name_of(type(another))})"
        return RemoteError(broken, type=kind, text=text).to_wire()
    return RemoteError(text_of(error), type=name_of(type(error)), text=text_of(error)).to_wire()


def from_wire(body: Any, answered_by: int | None = None) -> LuabusError:
    """The error that `wire_form` described, without a call of its `__init__`; `answered_by`: who sent it.

    A type name that this process does not have, or whose class cannot hold what was told, becomes a `RemoteError` that carries
    it; unknown fields are left out.
    """
    try:
        name, message, fields = body
        kind = _class_of(name)
        reported = of_map(fields.get(_REPORTED))
        fields = fields.items()
    except (TypeError, ValueError, AttributeError, RecursionError):
        return ProtocolError(
            f"an error frame whose body is not [type, message, fields] but {type(body).__name__}"
        )
    text = message if type(message) is str else text_of(plain(message, MAX_DEPTH))
    if kind is not None and may_arrive(kind):
        known = {key: value for key, value in fields if key in kind._fields}
        try:
            error = _restored(kind, (text,), {**known, "reported": reported, "answered_by": answered_by})
            str(error)  # its own `__str__` may need what has not travelled
        except BaseException:  # it is the sender's choice that this code runs here, so it ends nothing here
            pass
        else:
            return error
    name = str(plain(name, MAX_DEPTH))[:_LONGEST_NAME]
    remote = RemoteError(f"{name}: {text}" if text else name, type=name.rpartition(".")[2], text=text)
    remote.answered_by = answered_by
    return remote


def _wire_name(kind: type[LuabusError]) -> str:
    """What a class is called on the wire: luabus' own by name, users' by qualified name."""
    name = name_of(kind)
    return name if _own.get(name) is kind else f"{kind.__module__}.{kind.__qualname__}"


def _class_of(name: Any) -> type[LuabusError] | None:
    """The class that is called so on the wire. Users' are found by qualified name, and by the bare name which other languages and
    main programs send, if only one has it."""
    kind = _own.get(name) or _users.get(name)
    if kind is not None or ("." in name and not name.startswith(_MAIN)):
        return kind
    bare = name.rpartition(".")[2]
    same = [known for known in _users.values() if name_of(known) == bare]
    return same[0] if len(same) == 1 else None


def _restored(kind: type[LuabusError] | str, args: tuple[Any, ...], state: dict[str, Any]) -> LuabusError:
    """An error as it was: its arguments, and what it had set, also where its class lets nobody set anything any more. What the
    class only works out is left to it."""
    if isinstance(kind, str):
        kind = _class_of(kind) or RemoteError
    error: LuabusError = builtin_of(kind).__new__(kind, *args)
    BaseException.__dict__["args"].__set__(error, args)  # an OSError leaves them to its __init__
    for name, value in state.items():
        with suppress(AttributeError):  # a property, say
            object.__setattr__(error, name, value)
    return error
