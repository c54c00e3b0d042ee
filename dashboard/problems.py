"""Errors as RFC 9457 `application/problem+json`; which luabus error is which status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from dashboard.model import ProblemDetail
from dashboard.texts import Text
from luabus import errors

MEDIA_TYPE: Final = "application/problem+json"

# The first match counts: the more special classes stand before their roots.
STATUSES: Final[tuple[tuple[type[errors.LuabusError], int], ...]] = (
    (errors.Refused, 409),
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
    """Ends a request with a problem document, or, where a person asked for a page, with a page that says the same: a `Text` in
    the person's language."""

    def __init__(
        self,
        status: int,
        detail: str | Text,
        *,
        invalid: Sequence[dict[str, str]] = (),
        headers: dict[str, str] | None = None,
        error: str = "",
    ) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = str(detail)
        self.said = detail
        self.invalid = tuple(invalid)
        self.headers = headers or {}
        self.error = error


def from_luabus(error: errors.LuabusError) -> ApiError:
    """The status that says the same, with the error's own words."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return ApiError(status, str(error) or type(error).__name__, error=type(error).__name__)


def not_found(what: str, name: str, known: Iterable[str]) -> ApiError:
    """404 that says what there is, or what was probably meant."""
    names = sorted(set(known))
    close = likely(name, names)
    if close:
        hint = Text("did you mean {name}?", name=repr(close))
    elif names:
        hint = Text("there are: {names}", names=", ".join(names[:12]) + (" ..." if len(names) > 12 else ""))
    else:
        hint = Text("none is known now")
    return ApiError(
        404, Text("there is no {what} {name}; {hint}", what=Text(what), name=repr(name), hint=hint)
    )


def likely(name: str, known: Sequence[str]) -> str:
    """The one that was probably meant; "" when none is like it. Of `mial.7` the name counts, and then the nearest number: that
    two end in `.1`, or are numbers, makes them not alike."""
    stem, _, number = name.partition(".")
    stems = {one.partition(".")[0] for one in known}
    close = difflib.get_close_matches(stem, [one for one in stems if not one.isdigit()], n=1)
    found = [one for one in known if close and one.partition(".")[0] == close[0]]
    return min(found, key=lambda one: ((one == close[0]) == bool(number), _apart(one, number)), default="")


def _apart(name: str, number: str) -> int:
    numbers = [name.partition(".")[2], number]
    return abs(int(numbers[0]) - int(numbers[1])) if all(one.isdecimal() for one in numbers) else 0


def invalid(found: Sequence[Any]) -> ApiError:
    """422 from pydantic's list of errors."""
    listed = [
        {"at": ".".join(str(part) for part in one["loc"]) or "(body)", "message": str(one["msg"])}
        for one in found
    ]
    said = "; ".join(f"{one['at']}: {one['message']}" for one in listed)
    return ApiError(422, said, invalid=listed)


def bad_input(at: str, message: str) -> ApiError:
    """422 for one thing that came in."""
    return ApiError(422, f"{at}: {message}", invalid=[{"at": at, "message": message}])


def response(error: ApiError, instance: str) -> web.Response:
    document = ProblemDetail(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        instance=instance,
        errors=error.invalid,
        error=error.error,
    )
    body = document.model_dump_json(exclude_defaults=True, exclude={"type"})
    return web.Response(text=body, status=error.status, headers=error.headers, content_type=MEDIA_TYPE)
