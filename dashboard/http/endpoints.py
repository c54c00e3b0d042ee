"""Table of the API's endpoints, from which routes, validation and the OpenAPI document are made."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from dashboard.http.context import CONTEXT, Caller, Context, caller_of
from dashboard.http.problems import ApiError, bad_input, from_luabus, invalid
from dashboard.http.tokens import Role
from dashboard.i18n import Invalid, word
from dashboard.model.requests import Done, RequestModel
from luabus.cluster.snapshot import Snapshot
from luabus.errors import LuabusError
from luabus.messages import Message, known_codes

MOST_BODY_BYTES: Final = 64 * 1024
"""Limit of a body: the largest request is one `call` with its arguments."""
BODY_S: Final = 10.0
"""Seconds for a body to come."""

Model = TypeVar("Model", bound=RequestModel)


@dataclass(frozen=True, slots=True)
class Call:
    """Validated request: `query` and `body` are of the endpoint's models."""

    context: Context
    request: web.Request
    caller: Caller | None
    query: Any
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def snapshot(self) -> Snapshot:
        return self.context.poller.snapshot


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Row of the table. `role` None is open to all. `answer` is a type for `TypeAdapter`, or None when the handler makes the
    response itself; a `listed` answer comes in pages, with the number of all rows in the header X-Total-Count. What only `begins`
    is answered with 202, and the address of its job in the header Location."""

    method: str
    path: str
    handler: Handler
    role: Role | None
    summary: str
    tag: str
    answer: Any
    query: type[RequestModel] | None = None
    body: type[RequestModel] | None = None
    problems: tuple[int, ...] = ()
    media: str = "application/json"
    listed: bool = False
    begins: bool = False


TABLE: Final[list[Endpoint]] = []
_working: Final[set[asyncio.Future[Any]]] = set()
"""Tasks under way, held here because the loop holds them only weakly."""


def endpoint(
    method: str,
    path: str,
    *,
    role: Role | None,
    summary: str,
    tag: str,
    answer: Any = None,
    query: type[RequestModel] | None = None,
    body: type[RequestModel] | None = None,
    problems: tuple[int, ...] = (),
    media: str = "application/json",
    listed: bool = False,
    begins: bool = False,
) -> Callable[[Handler], Handler]:
    """Decorator: enter a handler in the table."""

    def enter(handler: Handler) -> Handler:
        TABLE.append(
            Endpoint(
                method,
                path,
                handler,
                role,
                summary,
                tag,
                answer,
                query,
                body,
                problems,
                media,
                listed,
                begins,
            )
        )
        return handler

    return enter


def add_routes(app: web.Application) -> None:
    """Serve every endpoint of the table."""
    for endpoint in TABLE:
        if endpoint.method == "GET":
            # An event stream has no end that a HEAD could wait for.
            app.router.add_get(
                endpoint.path, _serve(endpoint), allow_head=endpoint.media != "text/event-stream"
            )
        else:
            app.router.add_route(endpoint.method, endpoint.path, _serve(endpoint))


def _serve(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    adapter: TypeAdapter[Any] | None = TypeAdapter(endpoint.answer) if endpoint.answer is not None else None

    async def serve(request: web.Request) -> web.StreamResponse:
        caller = caller_of(request)
        if endpoint.role is not None:
            allow(caller, endpoint.role)
        context = request.app[CONTEXT]
        call = Call(context, request, caller, _query(endpoint, request), await _body(endpoint, request))
        if endpoint.role is not None:
            await context.poller.recent()
        try:
            result = await (
                endpoint.handler(call) if endpoint.method == "GET" else _to_its_end(endpoint.handler(call))
            )
        except LuabusError as error:
            raise from_luabus(error) from error
        if isinstance(result, web.StreamResponse):
            return result
        assert adapter is not None
        if endpoint.method != "GET":
            call.headers["Content-Language"] = caller.language if caller else "en"
        begun = isinstance(result, Done) and result.job is not None
        if begun:
            call.headers["Location"] = f"{context.options.prefix}/api/v1/jobs/{result.job}"
        return web.Response(
            status=202 if begun else 200,
            body=adapter.dump_json(result),
            content_type="application/json",
            headers=call.headers,
        )

    return serve


async def _to_its_end(work: Awaitable[Any]) -> Any:
    """Await `work` shielded from cancelling: a client that disconnects leaves no change half done or not recorded."""
    task = asyncio.ensure_future(work)
    _working.add(task)
    task.add_done_callback(_working.discard)
    return await asyncio.shield(task)


def allow(caller: Caller | None, role: Role) -> None:
    """Authorize the caller. Raises 401 without authentication, 403 when the role is too low."""
    if caller is None:
        raise ApiError(
            401,
            Message("problem.a-token-is-needed-authorization-bearer"),
            headers={"WWW-Authenticate": 'Bearer realm="luabus"'},
        )
    if caller.role < role:
        message = Message("problem.this-needs-the-role", role=word(role.name), yours=word(caller.role.name))
        raise ApiError(403, message)


def _query(endpoint: Endpoint, request: web.Request) -> Any:
    given: dict[str, str] = {}
    for key, value in request.query.items():
        if key in given:
            raise bad_input(key, Message("word.given-twice"))
        given[key] = value
    return _checked(endpoint.query or RequestModel, given)


async def _body(endpoint: Endpoint, request: web.Request) -> Any:
    if endpoint.body is None:
        return None
    raw = await read_body(request, "application/json")
    try:
        body = endpoint.body.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(faults(error)) from None
    json.loads(raw, object_pairs_hook=_once_each)
    return body


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that is given twice means one thing here and another to whoever reads along: refused, as in a query."""
    given = dict(pairs)
    if len(given) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise bad_input(twice, Message("word.given-twice"))
    return given


async def read_body(request: web.Request, content_type: str) -> bytes:
    """Read the raw body. Raises 415 for another type or a compressed body, 413 for one too large, 408 for one too slow."""
    if request.content_type != content_type:
        message = Message("problem.send-not", wanted=content_type, found=repr(request.content_type))
        raise ApiError(415, message)
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        message = Message("problem.send-the-body", encoding=repr(encoding))
        raise ApiError(415, message)
    if request.content_length is not None and request.content_length > MOST_BODY_BYTES:
        raise ApiError(
            413,
            Message(
                "problem.the-body-has-bytes-are-allowed",
                count=request.content_length,
                most=MOST_BODY_BYTES,
            ),
        )
    raw = b""
    try:
        async with asyncio.timeout(BODY_S):
            while not request.content.at_eof() and len(raw) <= MOST_BODY_BYTES:
                raw += await request.content.read(MOST_BODY_BYTES + 1)
    except TimeoutError:
        message = Message("problem.the-body-did-not-come", seconds=f"{BODY_S:g}")
        raise ApiError(408, message, headers={"Connection": "close"}) from None
    if len(raw) > MOST_BODY_BYTES:
        message = Message("problem.the-body-is-larger", most=MOST_BODY_BYTES)
        raise ApiError(413, message)
    return raw


def faults(error: ValidationError) -> list[dict[str, Any]]:
    """First fault of each field, by the field's name alone: the rest of `loc` are pydantic's names for members of a union."""
    by_field: dict[Any, dict[str, Any]] = {}
    for fault in error.errors(include_url=False):
        field, cause = fault["loc"][:1], fault.get("ctx", {}).get("error")
        if isinstance(cause, Invalid):
            message = cause.message
        elif isinstance(cause, ValueError):
            message = Message.verbatim(str(cause))  # pydantic says "Value error, " before it
        else:
            message = misfit(fault)
        by_field.setdefault(field, {"loc": field, "msg": message})
    return list(by_field.values())


def misfit(fault: Mapping[str, Any]) -> Message:
    """Message for a fault, from pydantic's code and values; pydantic's own text for a code without one of ours."""
    code = f"invalid.{str(fault['type']).replace('_', '-')}"
    values = {str(name): str(value) for name, value in fault.get("ctx", {}).items()}
    return Message(code, **values) if code in known_codes("en") else Message.verbatim(str(fault["msg"]))


def _checked(model: type[Model], given: dict[str, str]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(faults(error)) from None
