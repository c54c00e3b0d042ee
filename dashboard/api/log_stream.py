"""Log streams: server-sent events with the lines of processes, one connection to the launcher per log and reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from dashboard.api import verbs
from dashboard.api.event_stream import HEARTBEAT_S, message
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.problems import ApiError, not_found
from dashboard.http.sessions import may_still
from dashboard.http.tokens import Role
from dashboard.model.requests import RequestModel
from luabus.errors import LuabusError
from luabus.messages import Message

MOST_TAILS: Final = 32
"""Limit of logs followed at once; each holds a connection to the launcher."""

Shape = Callable[[str, Sequence[dict[str, Any]]], Any]


class TailQuery(RequestModel):
    lines: Annotated[int, Field(ge=0, le=10_000, description="api.lines-of-before-to-begin")] = 400


class TailsQuery(TailQuery):
    names: Annotated[
        str, Field(min_length=1, max_length=4000, description="api.names-of-processes-by-commas-mail")
    ]


@endpoint(
    "GET",
    "/api/v1/processes/{name}/follow",
    role=Role.viewer,
    tag="processes",
    query=TailQuery,
    media="text/event-stream",
    summary="api.server-sent-events-the-newest-lines",
    problems=(404, 502, 503, 504),
)
async def follow(call: Call) -> web.StreamResponse:
    name = call.request.match_info["name"]
    verbs.known_name(call.snapshot, name, [process.name for process in call.snapshot.processes])
    return await _follow(call, [name], lambda _, lines: lines)


@endpoint(
    "GET",
    "/api/v1/follow",
    role=Role.viewer,
    tag="processes",
    query=TailsQuery,
    media="text/event-stream",
    summary="api.server-sent-events-the-same",
    problems=(404, 502, 503, 504),
)
async def follow_several(call: Call) -> web.StreamResponse:
    """Follow several logs; unknown processes are left out. Raises 404 when none is known."""
    wanted = dict.fromkeys(call.query.names.split(","))
    known = [process.name for process in call.snapshot.processes]
    names = [name for name in wanted if name in known]
    if not names:
        raise not_found("process", call.query.names, known)
    return await _follow(call, names, lambda name, lines: {"name": name, "lines": lines})


async def _follow(call: Call, names: Sequence[str], shape: Shape) -> web.StreamResponse:
    context = call.context
    if context.tails.count + len(names) > MOST_TAILS:
        raise ApiError(
            503,
            Message("problem.logs-can-be-followed-at-once", count=MOST_TAILS),
            headers={"Retry-After": "10"},
        )
    async with AsyncExitStack() as held:
        for _ in names:
            held.enter_context(context.tails.counted())
        logs = {
            name: await held.enter_async_context(context.poller.source.follow(name, call.query.lines))
            for name in names
        }
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "X-Accel-Buffering": "no",
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(call.request)
        coming = {asyncio.ensure_future(anext(log, None)): name for name, log in logs.items()}
        stopped = asyncio.ensure_future(context.poller.stopped.wait())
        try:
            with suppress(ConnectionResetError, LuabusError):
                while coming:
                    waited: list[asyncio.Future[Any]] = [*coming, stopped]
                    done, _ = await asyncio.wait(
                        waited, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    if stopped.done() or not may_still(context, call.caller):
                        break
                    if not done:
                        await response.write(message("alive", {}))
                    for task in [task for task in coming if task.done()]:
                        name, lines = coming[task], task.result()
                        del coming[task]
                        if lines is None:
                            await response.write(message("end", {"name": name}))
                            continue
                        told = [line.model_dump() for line in verbs.log_lines(lines)]
                        await response.write(message("lines", shape(name, told)))
                        coming[asyncio.ensure_future(anext(logs[name], None))] = name
        finally:
            for future in (*coming, stopped):
                future.cancel()
                with suppress(asyncio.CancelledError, LuabusError):
                    await future
    return response
