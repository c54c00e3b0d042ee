"""The HTTP API: what one can ask (`GET`) and what one can do (`POST`); the pages' buttons come through the same doors.

Every verb takes `?preview=true`: then nothing is done, and the answer says what would happen.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dashboard.api import verbs
from dashboard.http.problems import bad_input, not_found
from dashboard.http.registry import Call, endpoint
from dashboard.http.tokens import Role
from dashboard.i18n import Text
from dashboard.model.answers import Job, KeyPlaces, LogLines, Routes, Session, Status
from dashboard.model.requests import (
    CloseRequest,
    Consequence,
    Done,
    KillRequest,
    NameRequest,
    PromoteRequest,
    Registered,
    RegisterRequest,
    RequestModel,
    ScaleRequest,
)
from dashboard.views import routing_tables
from dashboard.views.status import status_of
from luabus import hash_key


class Empty(RequestModel):
    """No parameters."""


class LogsQuery(RequestModel):
    lines: Annotated[int, Field(ge=1, le=10_000)] = 100


class KeyQuery(RequestModel):
    """`type` int takes the key as a number, modulo 2^32; str hashes its UTF-8 text."""

    group: Annotated[str, Field(min_length=1, max_length=80, description="number or name")]
    key: Annotated[str, Field(max_length=1000)]
    type: Literal["str", "int"] = "str"


class Preview(RequestModel):
    preview: bool = False


@endpoint(
    "GET", "/healthz", role=None, tag="meta", summary="Whether this process serves", answer=dict[str, str]
)
async def healthz(call: Call) -> dict[str, str]:
    return {"status": "ok"}


@endpoint(
    "GET",
    "/api/v1/session",
    role=None,
    tag="meta",
    answer=Session,
    summary="Who I am: my role and how I proved it, or nobody",
)
async def session(call: Call) -> Session:
    return Session(role=call.caller.role.name, by=call.caller.by) if call.caller else Session()


@endpoint(
    "GET",
    "/api/v1/status",
    role=Role.viewer,
    tag="cluster",
    answer=Status,
    summary="The cluster's health in one sentence, and what it is made of",
)
async def status(call: Call) -> Status:
    return status_of(call.snapshot)


@endpoint(
    "GET",
    "/api/v1/jobs",
    role=Role.viewer,
    tag="processes",
    answer=list[Job],
    summary="Restarts, scalings and the like that are under way, and how the last ones ended",
)
async def jobs(call: Call) -> list[Job]:
    return list(call.context.jobs.shown(call.snapshot))


@endpoint(
    "GET",
    "/api/v1/processes/{name}/logs",
    role=Role.viewer,
    tag="processes",
    answer=LogLines,
    query=LogsQuery,
    summary="The newest lines that a process wrote",
    problems=(404, 502, 503, 504),
)
async def logs(call: Call) -> LogLines:
    return await verbs.logs(call.context, call.request.match_info["name"], call.query.lines)


@endpoint(
    "GET",
    "/api/v1/routes",
    role=Role.viewer,
    tag="routing",
    answer=Routes,
    summary="Every router's routing table, and whether they agree",
)
async def routes(call: Call) -> Routes:
    return routing_tables.routes(call.snapshot)


@endpoint(
    "GET",
    "/api/v1/routes/key",
    role=Role.viewer,
    tag="routing",
    answer=KeyPlaces,
    query=KeyQuery,
    summary="Where does this key go?",
    problems=(404,),
)
async def key(call: Call) -> KeyPlaces:
    return place_key(call.snapshot, call.query)


def place_key(snapshot: Any, asked: KeyQuery) -> KeyPlaces:
    """Shared with the page. Raises 404 for an unknown group, 422 for a number that is none."""
    found = snapshot.groups()
    group = next((one for one in found if asked.group in (str(one.group), one.name)), None)
    if group is None:
        raise not_found("group", asked.group, [one.name for one in found])
    try:
        hashed = hash_key(int(asked.key) if asked.type == "int" else asked.key)
    except ValueError:
        raise bad_input("key", Text("{key} is not a whole number", key=repr(asked.key))) from None
    return routing_tables.key_places(snapshot, group.group, asked.key, hashed)


# --- verbs -----------------------------------------------------------------------------------------------------

_VERB_PROBLEMS = (404, 409, 502, 503, 504)


@endpoint(
    "POST",
    "/api/v1/register",
    role=Role.admin,
    tag="routing",
    body=RegisterRequest,
    query=Preview,
    answer=Registered | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Register, vacate or remove an entry of the routing table by hand, or name the master",
)
async def register(call: Call) -> Registered | Consequence:
    return await verbs.register(call.context, call.caller, call.body, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/promote",
    role=Role.admin,
    tag="routing",
    body=PromoteRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Make an instance its group's master, by the lease",
)
async def promote(call: Call) -> Done | Consequence:
    return await verbs.promote(call.context, call.caller, call.body, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/close",
    role=Role.admin,
    tag="routing",
    body=CloseRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="End one connection at one router",
)
async def close(call: Call) -> Done | Consequence:
    return await verbs.close(call.context, call.caller, call.body, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/kill",
    role=Role.operator,
    tag="processes",
    body=KillRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Send a signal to a process, or to all of a service",
)
async def kill(call: Call) -> Done | Consequence:
    return await verbs.kill(call.context, call.caller, call.body, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/start",
    role=Role.operator,
    tag="processes",
    body=NameRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Start a process, or all of a service",
)
async def start(call: Call) -> Done | Consequence:
    return await verbs.steer(call.context, call.caller, "start", call.body.name, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/stop",
    role=Role.operator,
    tag="processes",
    body=NameRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Stop a process, or all of a service, in order",
)
async def stop(call: Call) -> Done | Consequence:
    return await verbs.steer(call.context, call.caller, "stop", call.body.name, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/restart",
    role=Role.operator,
    tag="processes",
    body=NameRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Restart a process, or a service one by one",
)
async def restart(call: Call) -> Done | Consequence:
    return await verbs.steer(call.context, call.caller, "restart", call.body.name, call.query.preview)


@endpoint(
    "POST",
    "/api/v1/scale",
    role=Role.operator,
    tag="processes",
    body=ScaleRequest,
    query=Preview,
    answer=Done | Consequence,
    problems=_VERB_PROBLEMS,
    summary="Run so many instances of a service",
)
async def scale(call: Call) -> Done | Consequence:
    return await verbs.scale(call.context, call.caller, call.body, call.query.preview)
