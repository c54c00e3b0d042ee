"""Problem documents (RFC 9457, `application/problem+json`), and the HTTP status of each luabus error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from dashboard.i18n import word
from dashboard.model.answers import ProblemDetail
from luabus import errors
from luabus.cluster.snapshot import Snapshot
from luabus.errors import explain
from luabus.messages import Message

MEDIA_TYPE: Final = "application/problem+json"

# The first match counts: subclasses stand before their bases.
STATUSES: Final[tuple[tuple[type[errors.LuabusError], int], ...]] = (
    (errors.Refused, 409),
    (errors.Forbidden, 403),
    (errors.IdInUse, 409),
    (errors.StaleEpoch, 409),
    (errors.NotConnected, 503),
    (errors.NoRoute, 404),
    (errors.NoMaster, 503),
    (errors.RequestTimeout, 504),
    (errors.ConnectionLost, 502),
    (errors.Overloaded, 503),
    (errors.UnknownMethod, 404),
    (errors.BadArguments, 422),
    (errors.FrameTooLarge, 413),
    (errors.RemoteError, 502),
    (errors.AuthError, 502),
    (errors.LuabusError, 502),
)


class ApiError(Exception):
    """Ends a request with a problem document, or with an error page where a page was requested. `message` is `detail` as it can
    be translated."""

    def __init__(
        self,
        status: int,
        detail: str | Message,
        *,
        invalid: Sequence[Mapping[str, str | Message]] = (),
        headers: dict[str, str] | None = None,
        error: str = "",
    ) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = str(detail)
        self.message = detail
        self.invalid = tuple(invalid)
        self.headers = headers or {}
        self.error = error


def from_luabus(error: errors.LuabusError) -> ApiError:
    """Problem for a luabus error: its status by class, its message unchanged."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return ApiError(status, explain(error), error=type(error).__name__)


def not_found(what: str, name: str, known: Iterable[str]) -> ApiError:
    """404 with the likely name, or the known ones."""
    names = sorted(set(known))
    close = likely(name, names)
    if close:
        hint = Message("problem.did-you-mean", name=repr(close))
    elif names:
        hint = Message("problem.there-are", names=", ".join(names[:12]) + (" ..." if len(names) > 12 else ""))
    else:
        hint = Message("problem.none-is-known-now")
    return ApiError(404, Message("problem.there-is-no", what=word(what), name=repr(name), hint=hint))


def no_router(snapshot: Snapshot) -> ApiError:
    """503 while no router answers."""
    why = snapshot.bus_error or Message("problem.all-connections-are-lost")
    return ApiError(503, Message("problem.no-router-answers", why=why), error="NotConnected")


def no_launcher(snapshot: Snapshot) -> ApiError:
    """503 while the launcher does not answer."""
    message = Message("event.the-launcher-does-not-answer", why=snapshot.launcher_error)
    return ApiError(503, message, error="NotConnected")


def likely(name: str, known: Sequence[str]) -> str:
    """The known name closest to `name`; "" when none is close. Of `mial.7` the stem is compared, and among its instances the
    nearest number wins: an equal number alone makes no names alike."""
    stem, _, number = name.partition(".")
    stems = {candidate.partition(".")[0] for candidate in known}
    close = difflib.get_close_matches(stem, [text for text in stems if not text.isdigit()], n=1)
    alike = [candidate for candidate in known if close and candidate.partition(".")[0] == close[0]]

    def distance(candidate: str) -> tuple[bool, int]:
        return (candidate == close[0]) == bool(number), _apart(candidate, number)

    return min(alike, key=distance, default="")


def _apart(name: str, number: str) -> int:
    numbers = [name.partition(".")[2], number]
    return abs(int(numbers[0]) - int(numbers[1])) if all(text.isdecimal() for text in numbers) else 0


def invalid(faults: Sequence[Mapping[str, Any]]) -> ApiError:
    """422 from a list such as pydantic's: `loc` and `msg`, a text or a `Message`."""
    fields = [
        {"at": ".".join(str(part) for part in fault["loc"]) or "(body)", "message": fault["msg"]}
        for fault in faults
    ]
    detail, *further = (Message("problem.at-message", **field) for field in fields)
    for message in further:
        detail = Message("health.first-second", first=detail, second=message)
    return ApiError(422, detail, invalid=fields)


def bad_input(at: str, message: Message) -> ApiError:
    """422 for one field."""
    return invalid([{"loc": (at,), "msg": message}])


def response(error: ApiError, instance: str, language: str = "en") -> web.Response:
    """Response with the problem document in this language."""
    document = ProblemDetail(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=_in(language, error.message),
        instance=instance,
        errors=tuple({key: _in(language, text) for key, text in field.items()} for field in error.invalid),
        error=error.error,
    )
    body = document.model_dump_json(exclude_defaults=True, exclude={"type"})
    headers = {"Content-Language": language} | error.headers
    return web.Response(text=body, status=error.status, headers=headers, content_type=MEDIA_TYPE)


def _in(language: str, text: str | Message) -> str:
    return text.to(language) if isinstance(text, Message) else text
