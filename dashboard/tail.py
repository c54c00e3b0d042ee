"""The log of one process as it is written: server-sent events, one line of the launcher's per reader."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from dashboard import verbs
from dashboard.auth import Role
from dashboard.endpoints import Call, endpoint
from dashboard.events import HEARTBEAT_S, message
from dashboard.model import Asked
from dashboard.problems import ApiError
from luabus.errors import LuabusError

MOST_TAILS: Final = 32
"""Readers at once; each holds a connection to the launcher."""


class TailQuery(Asked):
    lines: Annotated[int, Field(ge=0, le=10_000, description="lines of before to begin with")] = 400


@endpoint(
    "GET",
    "/api/v1/processes/{name}/follow",
    role=Role.viewer,
    tag="processes",
    query=TailQuery,
    media="text/event-stream",
    summary="Server-sent events: the newest lines that a process wrote, then each as it is written",
    problems=(404, 502, 503, 504),
)
async def follow(call: Call) -> web.StreamResponse:
    name = call.request.match_info["name"]
    context = call.context
    verbs.known_name(
        context.feed.snapshot, name, [process.name for process in context.feed.snapshot.processes]
    )
    if context.tails.count >= MOST_TAILS:
        raise ApiError(
            503, f"{MOST_TAILS} logs are followed already, which is the limit", headers={"Retry-After": "10"}
        )
    with context.tails.one():
        async with context.feed.source.follow(name, call.query.lines) as batches:
            response = web.StreamResponse(
                headers={
                    "Content-Type": "text/event-stream",
                    "X-Accel-Buffering": "no",
                    "Cache-Control": "no-store",
                }
            )
            await response.prepare(call.request)
            coming = asyncio.ensure_future(anext(batches, None))
            stopped = asyncio.ensure_future(context.feed.stopped.wait())
            try:
                with suppress(ConnectionResetError, LuabusError):
                    while True:
                        await asyncio.wait(
                            {coming, stopped}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                        )
                        if stopped.done():
                            break
                        if not coming.done():
                            await response.write(message("alive", {}))
                            continue
                        lines = coming.result()
                        if lines is None:
                            await response.write(message("end", {}))
                            break
                        await response.write(message("lines", list(verbs.log_texts(lines))))
                        coming = asyncio.ensure_future(anext(batches, None))
            finally:
                for task in (coming, stopped):
                    task.cancel()
                    with suppress(asyncio.CancelledError, LuabusError):
                        await task
    return response
