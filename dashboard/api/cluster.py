"""Endpoints of the cluster: its state (`GET`) and the verbs (`POST`), which the pages' buttons use as well.

Every verb takes `?preview=true`: then nothing is done, and the answer says what would happen.
"""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dashboard.api import verbs
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.problems import bad_input, not_found
from dashboard.http.tokens import Role
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
from luabus.cluster.since import parse_moment
from luabus.cluster.verbs import VERBS, Takes, Verb
from luabus.messages import Message


class Empty(RequestModel):
    """No parameters."""


def _since(text: str) -> str:
    """As in the log files, where times are text that compares."""
    return parse_moment(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if text else ""


class LogsQuery(RequestModel):
    lines: Annotated[int, Field(ge=1, le=10_000)] = 100
    since: Annotated[str, AfterValidator(_since), Field(description="api.no-older-lines")] = ""


class KeyQuery(RequestModel):
    """`type` int takes the key as a number, modulo 2^32; str hashes its UTF-8 text."""

    group: Annotated[str, Field(min_length=1, max_length=80, description="api.number-or-name")]
    key: Annotated[str, Field(max_length=1000)]
    type: Literal["str", "int"] = "str"


class Preview(RequestModel):
    preview: bool = False


@endpoint(
    "GET", "/healthz", role=None, tag="meta", summary="api.whether-this-process-serves", answer=dict[str, str]
)
async def healthz(call: Call) -> dict[str, str]:
    return {"status": "ok"}


@endpoint(
    "GET",
    "/api/v1/session",
    role=None,
    tag="meta",
    answer=Session,
    summary="api.who-i-am-my-role",
)
async def session(call: Call) -> Session:
    return Session(role=call.caller.role.name, by=call.caller.by) if call.caller else Session()


@endpoint(
    "GET",
    "/api/v1/status",
    role=Role.viewer,
    tag="cluster",
    answer=Status,
    summary="api.the-clusters-health-in-one-sentence",
)
async def status(call: Call) -> Status:
    return status_of(call.snapshot)


@endpoint(
    "GET",
    "/api/v1/jobs",
    role=Role.viewer,
    tag="processes",
    answer=list[Job],
    summary="api.restarts-scalings-and-the-like",
)
async def jobs(call: Call) -> list[Job]:
    return list(call.context.jobs.shown(call.snapshot))


@endpoint(
    "GET",
    "/api/v1/jobs/{number}",
    role=Role.viewer,
    tag="processes",
    answer=Job,
    summary="api.one-job-by-its-number",
    problems=(404,),
)
async def job(call: Call) -> Job:
    number = call.request.match_info["number"]
    jobs = {str(job.number): job for job in call.context.jobs.kept(call.snapshot)}
    if number not in jobs:
        raise not_found("job", number[:40], jobs)
    return jobs[number]


@endpoint(
    "GET",
    "/api/v1/processes/{name}/logs",
    role=Role.viewer,
    tag="processes",
    answer=LogLines,
    query=LogsQuery,
    summary="api.the-newest-lines-that-a-process",
    problems=(404, 502, 503, 504),
)
async def logs(call: Call) -> LogLines:
    return await verbs.logs(call.context, call.request.match_info["name"], call.query.lines, call.query.since)


@endpoint(
    "GET",
    "/api/v1/routes",
    role=Role.viewer,
    tag="routing",
    answer=Routes,
    summary="api.every-routers-routing-table-and-whether",
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
    summary="api.where-does-this-key-go",
    problems=(404,),
)
async def key(call: Call) -> KeyPlaces:
    return place_key(call.snapshot, call.query)


def place_key(snapshot: Any, query: KeyQuery) -> KeyPlaces:
    """Place of a key at each router, for the API and the page. Raises 404 for an unknown group, 422 for an invalid number."""
    groups = snapshot.groups()
    group = next((group for group in groups if query.group in (str(group.group), group.name)), None)
    if group is None:
        raise not_found("group", query.group, [group.name for group in groups])
    try:
        hashed = hash_key(int(query.key) if query.type == "int" else query.key)
    except ValueError:
        raise bad_input("key", Message("problem.is-not-a-whole-number", key=repr(query.key))) from None
    return routing_tables.key_places(snapshot, group.group, query.key, hashed)


# --- verbs -----------------------------------------------------------------------------------------------------

_PROBLEMS = (404, 409, 502, 503, 504)
_BODIES: dict[Takes, type[RequestModel]] = {
    Takes.NAMES: NameRequest,
    Takes.SIGNAL: KillRequest,
    Takes.COUNT: ScaleRequest,
    Takes.ENTRY: RegisterRequest,
    Takes.INSTANCE: PromoteRequest,
    Takes.CONNECTION: CloseRequest,
}


def _serve(verb: Verb, role: Role) -> None:
    """Enter the verb in the table of endpoints."""

    async def run(call: Call) -> Any:
        return await verbs.run(verb, call.context, call.caller, call.body, call.query.preview)

    run.__name__ = verb.name
    endpoint(
        "POST",
        f"/api/v1/{verb.name}",
        role=role,
        tag="processes" if verb.via == "launcher" else "routing",
        body=_BODIES[verb.takes],
        query=Preview,
        answer=(Registered if verb.takes is Takes.ENTRY else Done) | Consequence,
        problems=_PROBLEMS,
        summary=verb.summary,
        begins=verb.takes_long,
    )(run)


for _verb in VERBS:
    if _verb.role is not None:
        _serve(_verb, Role[_verb.role])
