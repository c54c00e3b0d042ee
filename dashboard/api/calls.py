"""Endpoints of "try it": the methods of a group, and a request to any route."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from dashboard.api import verbs
from dashboard.api.audit import audited
from dashboard.api.cluster import Preview
from dashboard.collector.cluster_source import Answer
from dashboard.http.context import Caller, Context
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.problems import ApiError, bad_input, not_found
from dashboard.http.tokens import Role
from dashboard.model.answers import CallAnswer, Called, CallFailed, GroupMethods
from dashboard.model.requests import CallRequest, Consequence, RequestModel
from dashboard.views import methods, request_text
from luabus import ServiceId
from luabus.cluster import preview_routing
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import GroupState
from luabus.errors import BadArguments, LuabusError, RemoteError, RequestTimeout, UnknownMethod
from luabus.messages import Message


class MethodsQuery(RequestModel):
    group: Annotated[str, Field(min_length=1, max_length=80, description="api.number-or-name")]


@endpoint(
    "GET",
    "/api/v1/methods",
    role=Role.viewer,
    tag="calls",
    query=MethodsQuery,
    answer=GroupMethods,
    summary="api.what-a-groups-instances-declare-names",
    problems=(404, 502, 503, 504),
)
async def declared(call: Call) -> GroupMethods:
    return await methods_of(call.context, call.query.group)


async def methods_of(context: Context, wanted: str) -> GroupMethods:
    """Methods of a group from the cache. Raises 404 for an unknown group, and what the bus raises."""
    group = known_group(context.poller.snapshot, wanted)
    known = await context.method_cache.of(group.group)
    if known.error is not None:
        raise known.error.with_traceback(None)
    return methods.merge(group, known.answers)


def not_told(snapshot: Snapshot, group: GroupState, error: LuabusError) -> Message:
    """Message why a group's methods are not known now."""
    if not snapshot.routed:
        return Message("verb.no-router-answers-what-declares-cannot", group=group.name)
    return Message("verb.what-declares-could-not-be-asked", group=group.name, why=str(error))


def known_group(snapshot: Snapshot, wanted: str) -> GroupState:
    groups = snapshot.groups()
    group = next((group for group in groups if wanted in (str(group.group), group.name)), None)
    if group is None:
        raise not_found("group", wanted, [group.name for group in groups])
    return group


@endpoint(
    "POST",
    "/api/v1/call",
    role=Role.operator,
    tag="calls",
    body=CallRequest,
    query=Preview,
    answer=Called | Consequence,
    problems=(404, 409, 502, 503, 504),
    summary="api.send-a-request-to-any-route",
)
async def call_route(call: Call) -> Called | Consequence:
    request: CallRequest = call.body
    if request.method.startswith(methods.INTERNAL):
        raise bad_input("method", Message("verb.is-luabus-own-and-not", name=repr(request.method)))
    if call.query.preview:
        return verbs.consequence(
            preview_routing.of_call(call.snapshot, request.route, request.method, one_way=request.one_way),
            call.caller,
        )
    return await send(call.context, call.caller, request)


async def send(context: Context, caller: Caller | None, request: CallRequest) -> Called:
    """Send a request, collect its answers. A handler's error is an answer; raises when no instance was reached or answered."""
    snapshot = context.poller.snapshot
    group, reached = preview_routing.routed_to(snapshot, request.route)
    text = request_text.called(request)
    begun = time.perf_counter()
    try:
        async with audited(context, caller, "call", request.route.partition(":")[2], text, "bus"):
            answers = await _answers(context, request)
    except RequestTimeout as error:
        raise ApiError(
            504,
            preview_routing.unanswered(snapshot, request.route, request.method, request.timeout_s),
            error="RequestTimeout",
        ) from error
    finally:
        if group is not None:
            context.method_cache.forget(group.group)
    elapsed_ms = (time.perf_counter() - begun) * 1000
    lost = (
        preview_routing.nobody(snapshot, request.route, group, one_way=True)
        if request.one_way and not reached
        else None
    )
    return Called(
        route=request.route,
        method=request.method,
        elapsed_ms=round(elapsed_ms, 3),
        answers=tuple(_shown(snapshot, answer, request, verbs.spoken_by(caller)) for answer in answers),
        warning=lost.to(verbs.spoken_by(caller)) if lost else "",
    )


async def _answers(context: Context, request: CallRequest) -> list[Answer]:
    try:
        return await context.poller.source.call(
            request.route, request.method, request.args, request.timeout_s, request.one_way
        )
    except LuabusError as error:
        by = error.answered_by
        # Wrong arguments and an unknown method are faults of the request: no handler has run.
        raised = by is not None and not isinstance(error, BadArguments | UnknownMethod)
        if not (raised or isinstance(error, RemoteError)):
            raise
        return [Answer(None if by is None else str(ServiceId(by)), None, error)]


def _shown(snapshot: Snapshot, answer: Answer, request: CallRequest, language: str) -> CallAnswer:
    name = preview_routing.name_of(snapshot, answer.service_id) if answer.service_id else ""
    return CallAnswer(
        service_id=answer.service_id,
        name=name,
        value=methods.plain(answer.value),
        error=_failure(answer.error, request, language) if answer.error is not None else None,
    )


def _failure(error: LuabusError, request: CallRequest, language: str) -> CallFailed:
    if isinstance(error, RemoteError):
        return CallFailed(
            type=error.type or "RemoteError", text=error.text or str(error), traceback=error.traceback
        )
    text = str(error)
    if isinstance(error, RequestTimeout) and error.answered_by is None:
        text = Message("verb.no-answer-within-s", seconds=f"{request.timeout_s:g}").to(language)
    return CallFailed(type=type(error).__name__, text=text)
