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
    ├── IdInUse              a live process with a newer incarnation holds this service id
    ├── StaleEpoch           a master's message or claim carries an epoch that is no longer the highest
    ├── Refused              a verb that cannot be done as asked (unknown token, wrong state ...)
    └── ConfigError          a setting is missing or wrong

Each has typed fields beside its message, and travels: `to_wire` and `from_wire` are inverse, so that an error raised
in a router or in a service is the same type at the caller.
"""

from __future__ import annotations

import inspect
import traceback as traceback_module
from datetime import datetime
from typing import Any, ClassVar, Self

from luabus.messages import Message, of_map

__all__ = [
    "AuthError",
    "BadArguments",
    "ConfigError",
    "ConnectionLost",
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
    "from_wire",
]

_TRACEBACK_LENGTH = 8192
_registry: dict[str, type[LuabusError]] = {}
_MAX_DEPTH = 8
_REPORTED = "reported"


class LuabusError(Exception):
    """The root. Keyword arguments fill the fields that the class declares by annotation, and no others."""

    _fields: ClassVar[tuple[str, ...]] = ()
    answered_by: int | None = None
    """The service that answered with this; known of what `Route.answered` raises, and only there. None: nobody, or a router."""
    reported: Message | None = None
    """The same as `message` by code and values, where it was raised with them (`coded`); it travels with the error."""

    def __init_subclass__(cls) -> None:
        cls._fields = (*cls._fields, *inspect.get_annotations(cls))
        _registry[cls.__name__] = cls

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

    @property
    def message(self) -> str:
        """The text, as in `str(error)`."""
        return str(self)

    def fields(self) -> dict[str, Any]:
        """The typed fields and their values."""
        return {name: getattr(self, name) for name in self._fields}

    def to_wire(self) -> list[Any]:
        """`[type name, message, fields]`: what an ERROR frame's body holds, in types that can be sent."""
        fields = (
            self.fields() if self.reported is None else {**self.fields(), _REPORTED: self.reported.as_map()}
        )
        return [type(self).__name__, _plain(str(self)), _plain(fields)]

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_wire, (self.to_wire(),))


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
        try:
            text = str(error)
        except Exception as another:
            text = f"(its text cannot be had: {type(another).__name__})"
        lines = "".join(traceback_module.format_exception(error))[-_TRACEBACK_LENGTH:]
        kind = type(error).__name__
        message = f"{method} at {where} raised {kind}: {text}"
        return cls(message, type=kind, text=text, traceback=lines, method=method)


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


def explain(error: BaseException) -> Message:
    """What an error tells: by code where it was raised with one, else in its own words."""
    if isinstance(error, LuabusError) and error.reported is not None:
        return error.reported
    return Message.verbatim(str(error) or type(error).__name__)


def _plain(value: Any, depth: int = 0) -> Any:
    """`value`, or what comes closest to it and can be sent: an error must arrive whatever its fields hold."""
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return {_plain(key, _MAX_DEPTH): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in value]
    if value is None or type(value) in (bool, float, bytes):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return int(value)
    if type(value) is datetime and value.tzinfo is not None:
        return value
    return str(value).encode(errors="replace").decode()


def from_wire(body: Any) -> LuabusError:
    """The error that `to_wire` described.

    An unknown type name (a newer peer) becomes a `RemoteError` that carries it; unknown fields are left out.
    """
    try:
        name, message, fields = body
        cls = _registry.get(name)
        if cls is None:
            name, message = str(_plain(name, _MAX_DEPTH))[:200], str(_plain(message, _MAX_DEPTH))
            return RemoteError(f"{name}: {message}", type=name, text=message)
        known = {key: value for key, value in fields.items() if key in cls._fields}
        error = cls(str(message), **known)
        error.reported = of_map(fields.get(_REPORTED))
        return error
    except (TypeError, ValueError, AttributeError, RecursionError):
        return ProtocolError(
            f"an error frame whose body is not [type, message, fields] but {type(body).__name__}"
        )
