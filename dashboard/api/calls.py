"""Try it: what a service declares, and a request sent from here to any route."""

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
from luabus.cluster import effects_routing
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
    """As the group told within the last seconds. Raises 404 for an unknown group, and what the bus raises."""
    group = known_group(context.poller.snapshot, wanted)
    told = await context.method_cache.of(group.group)
    if told.error is not None:
        raise told.error.with_traceback(None)
    return methods.merge(group, told.answers)


def not_told(snapshot: Snapshot, group: GroupState, error: LuabusError) -> Message:
    """Why it is not known now what a group declares."""
    if not snapshot.routed:
        return Message("verb.no-router-answers-what-declares-cannot", group=group.name)
    return Message("verb.what-declares-could-not-be-asked", group=group.name, why=str(error))


def known_group(snapshot: Snapshot, wanted: str) -> GroupState:
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
    body=CallRequest,
    query=Preview,
    answer=Called | Consequence,
    problems=(404, 409, 502, 503, 504),
    summary="api.send-a-request-to-any-route",
)
async def call_route(call: Call) -> Called | Consequence:
    asked: CallRequest = call.body
    if asked.method.startswith(methods.INTERNAL):
        raise bad_input("method", Message("verb.is-luabus-own-and-not", name=repr(asked.method)))
    if call.query.preview:
        return verbs.consequence(
            effects_routing.of_call(call.snapshot, asked.route, asked.method, one_way=asked.one_way),
            call.caller,
        )
    return await send(call.context, call.caller, asked)


async def send(context: Context, caller: Caller | None, asked: CallRequest) -> Called:
    """What a handler raises is an answer; it is an error that nobody could be asked, or that nobody answered."""
    snapshot = context.poller.snapshot
    group, reached = effects_routing.routed_to(snapshot, asked.route)
    text = request_text.called(asked)
    begun = time.perf_counter()
    try:
        async with audited(context, caller, "call", asked.route.partition(":")[2], text, "bus"):
            found = await _answers(context, asked)
    except RequestTimeout as error:
        raise ApiError(
            504,
            effects_routing.unanswered(snapshot, asked.route, asked.method, asked.timeout_s),
            error="RequestTimeout",
        ) from error
    finally:
        if group is not None:
            context.method_cache.forget(group.group)
    elapsed_ms = (time.perf_counter() - begun) * 1000
    lost = (
        effects_routing.nobody(snapshot, asked.route, group, one_way=True)
        if asked.one_way and not reached
        else None
    )
    return Called(
        route=asked.route,
        method=asked.method,
        elapsed_ms=round(elapsed_ms, 3),
        answers=tuple(_shown(snapshot, one, asked, verbs.spoken_by(caller)) for one in found),
        warning=lost.to(verbs.spoken_by(caller)) if lost else "",
    )


async def _answers(context: Context, asked: CallRequest) -> list[Answer]:
    try:
        return await context.poller.source.call(
            asked.route, asked.method, asked.args, asked.timeout_s, asked.one_way
        )
    except LuabusError as error:
        by = error.answered_by
        # Arguments that do not fit, and a method that is not there, are faults of the request: no handler has run.
        raised = by is not None and not isinstance(error, BadArguments | UnknownMethod)
        if not (raised or isinstance(error, RemoteError)):
            raise
        return [Answer(None if by is None else str(ServiceId(by)), None, error)]


def _shown(snapshot: Snapshot, one: Answer, asked: CallRequest, language: str) -> CallAnswer:
    name = effects_routing.name_of(snapshot, one.service_id) if one.service_id else ""
    return CallAnswer(
        service_id=one.service_id,
        name=name,
        value=methods.plain(one.value),
        error=_failure(one.error, asked, language) if one.error is not None else None,
    )


def _failure(error: LuabusError, asked: CallRequest, language: str) -> CallFailed:
    if isinstance(error, RemoteError):
        return CallFailed(
            type=error.type or "RemoteError", text=error.text or str(error), traceback=error.traceback
        )
    text = str(error)
    if isinstance(error, RequestTimeout) and error.answered_by is None:
        text = Message("verb.no-answer-within-s", seconds=f"{asked.timeout_s:g}").to(language)
    return CallFailed(type=type(error).__name__, text=text)
