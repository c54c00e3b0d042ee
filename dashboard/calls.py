"""Try it: what a service declares, and a request sent from here to any route."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from dashboard import verbs
from dashboard.api import Preview
from dashboard.audit import Written
from dashboard.auth import Role
from dashboard.context import Caller, Context
from dashboard.endpoints import Call, endpoint
from dashboard.model import (
    Asked,
    CallAnswer,
    CallAsked,
    Called,
    CallFailed,
    Consequence,
    Group,
    GroupMethods,
)
from dashboard.problems import ApiError, not_found
from dashboard.render import consequences, methods
from dashboard.snapshot import Snapshot
from dashboard.source import Answer
from luabus import ServiceId
from luabus.errors import BadArguments, LuabusError, RemoteError, UnknownMethod

PATIENCE_S = 2.0


class MethodsQuery(Asked):
    group: Annotated[str, Field(min_length=1, max_length=80, description="number or name")]


@endpoint(
    "GET",
    "/api/v1/methods",
    role=Role.viewer,
    tag="calls",
    query=MethodsQuery,
    answer=GroupMethods,
    summary="What a group's instances declare: names, arguments, docstrings, and how their calls went",
    problems=(404, 502, 503, 504),
)
async def declared(call: Call) -> GroupMethods:
    return await methods_of(call.context, call.query.group)


async def methods_of(context: Context, wanted: str) -> GroupMethods:
    """Asks the group now. Raises 404 for an unknown group, and what the bus raises."""
    group = known_group(context.feed.snapshot, wanted)
    return methods.merge(group, await context.feed.source.methods(group.group, PATIENCE_S))


def known_group(snapshot: Snapshot, wanted: str) -> Group:
    groups = snapshot.groups()
    found = next((group for group in groups if wanted in (str(group.group), group.name)), None)
    if found is None:
        raise not_found("group", wanted, [group.name for group in groups])
    return found


@endpoint(
    "POST",
    "/api/v1/call",
    role=Role.operator,
    tag="calls",
    body=CallAsked,
    query=Preview,
    answer=Called | Consequence,
    problems=(404, 409, 502, 503, 504),
    summary="Send a request to any route; who answered what, and in what time",
)
async def call_route(call: Call) -> Called | Consequence:
    asked: CallAsked = call.body
    if asked.method.startswith(methods.INTERNAL):
        raise ApiError(
            422,
            f"method: {asked.method!r} is luabus' own, and not for callers",
            invalid=[{"at": "method", "message": "names that begin with luabus. are luabus' own"}],
        )
    if call.query.preview:
        return verbs.consequence(consequences.of_call(call.snapshot, asked), call.caller)
    return await send(call.context, call.caller, asked)


async def send(context: Context, caller: Caller | None, asked: CallAsked) -> Called:
    """What a handler raises is an answer; it is an error that nobody could be asked, or that nobody answered."""
    snapshot = context.feed.snapshot
    text = consequences.call_text(asked)
    async with Written(context, caller, "call", asked.route.partition(":")[2], text, "bus"):
        begun = time.perf_counter()
        try:
            found = await context.feed.source.call(
                asked.route, asked.method, asked.args, asked.timeout_s, asked.one_way
            )
        except LuabusError as error:
            by = error.answered_by
            # Arguments that do not fit, and a method that is not there, are faults of the request: no handler has run.
            raised = by is not None and not isinstance(error, BadArguments | UnknownMethod)
            if not (raised or isinstance(error, RemoteError)):
                raise
            found = [Answer(None if by is None else str(ServiceId(by)), None, error)]
        elapsed_ms = (time.perf_counter() - begun) * 1000
    return Called(
        route=asked.route,
        method=asked.method,
        elapsed_ms=round(elapsed_ms, 3),
        answers=tuple(_shown(snapshot, one) for one in found),
    )


def _shown(snapshot: Snapshot, one: Answer) -> CallAnswer:
    name = consequences.name_of(snapshot, one.service_id) if one.service_id else ""
    return CallAnswer(
        service_id=one.service_id,
        name=name,
        value=methods.plain(one.value),
        error=_failure(one.error) if one.error is not None else None,
    )


def _failure(error: LuabusError) -> CallFailed:
    if isinstance(error, RemoteError):
        return CallFailed(
            type=error.type or "RemoteError", text=error.text or str(error), traceback=error.traceback
        )
    return CallFailed(type=type(error).__name__, text=str(error))
