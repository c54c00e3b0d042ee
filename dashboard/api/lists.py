"""Lists of the API, with one query for all: words that must occur, a column to sort by, a page of the rows.

The header `X-Total-Count` has the number of matching rows, before paging. Events are not among the lists: they have no end, and
are read on from a number (`GET /api/v1/history`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, ClassVar, Final, TypeVar

from pydantic import Field, field_validator

from dashboard.http.endpoints import Call, endpoint
from dashboard.http.problems import no_launcher, no_router, not_found
from dashboard.http.tokens import Role
from dashboard.i18n import Invalid
from dashboard.model.answers import Router
from dashboard.model.requests import RequestModel
from dashboard.views import list_query
from luabus.cluster.snapshot import RouterState
from luabus.cluster.state import Closed, ConnectionState, Process, RouterTotals
from luabus.messages import Message

MOST_ROWS: Final = 100_000

Words = Annotated[str, Field(max_length=200, description="api.every-word-must-occur-case-does")]
Name = Annotated[str, Field(max_length=120)]
Row = TypeVar("Row")
COUNTED: Final = [field.name for field in fields(RouterTotals) if field.name not in ("router", "address")]


class ListQuery(RequestModel):
    """`sort` is a column, and `-column` descends; rows without a value come last either way."""

    columns: ClassVar[tuple[str, ...]] = ()

    q: Words = ""
    sort: str = ""
    offset: Annotated[int, Field(ge=0, le=1 << 31)] = 0
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = MOST_ROWS

    @field_validator("sort")
    @classmethod
    def _known(cls, value: str) -> str:
        if value and value.removeprefix("-") not in cls.columns:
            columns = ", ".join(cls.columns)
            raise Invalid(Message("problem.is-not-a-column-the-columns", value=repr(value), columns=columns))
        return value


class ConnectionsQuery(ListQuery):
    """Of one `router`, or of all."""

    columns = list_query.CONNECTION_COLUMNS
    router: Name = ""


class ClosedQuery(ListQuery):
    """Of one `router`, or of all; newest first unless sorted."""

    columns = list_query.CLOSED_COLUMNS
    router: Name = ""


class ProcessesQuery(ListQuery):
    """Of one `service`, or of all; in the order of cluster.toml unless sorted."""

    columns = list_query.PROCESS_COLUMNS
    service: Name = ""


class RoutersQuery(ListQuery):
    """In the order of their numbers unless sorted."""

    columns = list_query.ROUTER_COLUMNS


def _page(call: Call, rows: Sequence[Row]) -> list[Row]:
    query: ListQuery = call.query
    page = list_query.select(rows, query.q, query.sort, query.offset, query.limit)
    call.headers["X-Total-Count"] = str(page.total)
    return list(page.rows)


@endpoint(
    "GET",
    "/api/v1/routers",
    role=Role.viewer,
    tag="routing",
    query=RoutersQuery,
    answer=list[Router],
    listed=True,
    summary="api.every-router-what-it-has-counted",
)
async def routers(call: Call) -> list[Router]:
    return _page(call, [_router(state, call.snapshot.at) for state in call.snapshot.routers])


@endpoint(
    "GET",
    "/api/v1/routers/{name}",
    role=Role.viewer,
    tag="routing",
    answer=Router,
    summary="api.one-router",
    problems=(404,),
)
async def router(call: Call) -> Router:
    name = call.request.match_info["name"]
    state = next((state for state in call.snapshot.routers if state.name == name), None)
    if state is None:
        raise not_found("router", name, [state.name for state in call.snapshot.routers])
    return _router(state, call.snapshot.at)


def _router(state: RouterState, now: float) -> Router:
    counted = {name: getattr(state.stats, name) for name in COUNTED} if state.stats else {}
    age_s = None if state.seen is None else round(max(now - state.seen, 0.0), 1)
    return Router(router=state.name, address=state.address, connected=state.connected, age_s=age_s, **counted)


@endpoint(
    "GET",
    "/api/v1/connections",
    role=Role.viewer,
    tag="routing",
    query=ConnectionsQuery,
    answer=list[ConnectionState],
    listed=True,
    summary="api.every-connection-of-every-router",
    problems=(404, 503),
)
async def connections(call: Call) -> list[ConnectionState]:
    if not call.snapshot.routed:
        raise no_router(call.snapshot)
    query: ConnectionsQuery = call.query
    _known_router(call, query.router)
    return _page(call, [row for row in call.snapshot.connections if query.router in ("", row.router)])


def _known_router(call: Call, name: str) -> None:
    """Raises 404 for a router that there is not; "" means all."""
    names = [state.name for state in call.snapshot.routers]
    if name and name not in names:
        raise not_found("router", name, names)


@endpoint(
    "GET",
    "/api/v1/connections/closed",
    role=Role.viewer,
    tag="routing",
    query=ClosedQuery,
    answer=list[Closed],
    listed=True,
    summary="api.the-connections-that-ended-last-newest",
    problems=(404,),
)
async def closed(call: Call) -> list[Closed]:
    query: ClosedQuery = call.query
    _known_router(call, query.router)
    return _page(call, [row for row in list_query.closed(call.snapshot) if query.router in ("", row.router)])


@endpoint(
    "GET",
    "/api/v1/processes",
    role=Role.viewer,
    tag="processes",
    query=ProcessesQuery,
    answer=list[Process],
    listed=True,
    summary="api.every-supervised-process",
    problems=(404, 503),
)
async def processes(call: Call) -> list[Process]:
    query: ProcessesQuery = call.query
    rows = _supervised(call)
    known = {*(row.service for row in rows), *call.snapshot.launcher.groups}
    if query.service and query.service not in known:
        raise not_found("service", query.service, known)
    return _page(call, [row for row in rows if query.service in ("", row.service)])


@endpoint(
    "GET",
    "/api/v1/processes/{name}",
    role=Role.viewer,
    tag="processes",
    answer=Process,
    summary="api.one-process",
    problems=(404, 503),
)
async def process(call: Call) -> Process:
    name = call.request.match_info["name"]
    process = next((process for process in _supervised(call) if process.name == name), None)
    if process is None:
        raise not_found("process", name, [process.name for process in call.snapshot.processes])
    return process


def _supervised(call: Call) -> tuple[Process, ...]:
    if call.snapshot.launcher_error is not None:
        raise no_launcher(call.snapshot)
    return call.snapshot.processes
