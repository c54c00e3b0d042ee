"""Event stream: server-sent events with a snapshot of each topic, then its changes.

A slow reader skips intermediate states: it is woken, and gets the difference between what it was sent last and the snapshot of
now. So nothing queues up for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from pydantic import Field, TypeAdapter, field_validator

from dashboard.http.context import Context
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.problems import ApiError
from dashboard.http.sessions import may_still
from dashboard.http.tokens import Role
from dashboard.i18n import Invalid
from dashboard.model.requests import RequestModel
from dashboard.views import routing_tables
from dashboard.views.status import status_of
from luabus.cluster.snapshot import TOPICS, Snapshot
from luabus.cluster.state import ConnectionState, Process
from luabus.messages import Message

HEARTBEAT_S: Final = 10.0
"""Interval of `alive` events: they keep a proxy's connection, and show the reader that the stream lives."""
NOTICE_HEARTBEAT_S: Final = 1.0
"""The same for notices, which pages listen to: within seconds they show that their state may be stale."""
MOST_READERS: Final = 500

_process: TypeAdapter[Any] = TypeAdapter(Process)
_connection: TypeAdapter[Any] = TypeAdapter(ConnectionState)

Rows = dict[str, dict[str, Any]]
Sender = Callable[[Snapshot, Mapping[str, int]], list[bytes]]


class StreamQuery(RequestModel):
    """`topics` separated by commas; `notices=true` sends only that a topic changed, not what."""

    topics: str = Field(default=",".join(TOPICS))
    notices: bool = False

    @field_validator("topics")
    @classmethod
    def _known(cls, value: str) -> str:
        for topic in value.split(","):
            if topic not in TOPICS:
                known = ", ".join(TOPICS)
                raise Invalid(Message("problem.is-no-topic", value=repr(topic), known=known))
        return value


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Rows that are new or changed, and keys of those removed."""
    changed = {key: row for key, row in new.items() if old.get(key) != row}
    return {"changed": changed, "removed": [key for key in old if key not in new]}


def message(event: str, data: Any) -> bytes:
    """Encode one event. JSON has no raw line breaks, so one `data:` line carries it."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


@endpoint(
    "GET",
    "/api/v1/events",
    role=Role.viewer,
    tag="events",
    query=StreamQuery,
    media="text/event-stream",
    summary="api.server-sent-events-a-snapshot",
    problems=(503,),
)
async def stream(call: Call) -> web.StreamResponse:
    poller = call.context.poller
    if poller.watchers >= MOST_READERS:
        raise ApiError(
            503,
            Message("problem.readers-follow-already-which", count=MOST_READERS),
            headers={"Retry-After": "10"},
        )
    topics = tuple(dict.fromkeys(call.query.topics.split(",")))
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(call.request)
    send = _notices(topics) if call.query.notices else _changes(call.context, topics)
    heartbeat_s = NOTICE_HEARTBEAT_S if call.query.notices else HEARTBEAT_S
    # A reader that disconnects is no error.
    with poller.watching(), suppress(ConnectionResetError):
        await response.write(b"retry: 1000\n\n")
        await _follow(response, call, topics, send, heartbeat_s)
    return response


async def _follow(
    response: web.StreamResponse, call: Call, topics: Sequence[str], send: Sender, heartbeat_s: float
) -> None:
    poller = call.context.poller
    seen: dict[str, int] = {}
    while not poller.stopping:
        snapshot: Snapshot | None = None
        try:
            async with asyncio.timeout(heartbeat_s):
                snapshot = await poller.changed(seen, topics)
        except TimeoutError:
            pass  # it is time for a sign of life
        if not may_still(call.context, call.caller):
            return
        if snapshot is None:
            await response.write(message("alive", {}))
            continue
        for part in send(snapshot, seen):
            await response.write(part)
        seen = dict(snapshot.versions)


def _notices(topics: Sequence[str]) -> Sender:
    def send(snapshot: Snapshot, seen: Mapping[str, int]) -> list[bytes]:
        newer = {
            topic: snapshot.versions[topic] for topic in topics if snapshot.versions[topic] != seen.get(topic)
        }
        return [message("changed", newer)]

    return send


def _changes(context: Context, topics: Sequence[str]) -> Sender:
    sent: dict[str, Rows] = {}
    last_event = context.journal.next - 1

    def send(snapshot: Snapshot, seen: Mapping[str, int]) -> list[bytes]:
        nonlocal last_event
        parts: list[bytes] = []
        for topic in topics:
            if snapshot.versions[topic] == seen.get(topic):
                continue
            if topic == "events":
                fresh = (
                    context.journal.find(after=last_event, limit=5000)
                    if seen
                    else context.journal.find(limit=100)
                )
                last_event = fresh[-1].seq if fresh else last_event
                parts.append(message("events", [event.model_dump() for event in fresh]))
            elif topic == "series":
                parts.append(message("series", context.history.latest(snapshot.at)))
            elif topic in ("status", "routes"):
                whole = status_of(snapshot) if topic == "status" else routing_tables.routes(snapshot)
                parts.append(message(topic, whole.model_dump()))
            else:
                rows = _rows(topic, snapshot)
                if topic in sent:
                    parts.append(message(f"{topic}.changed", difference(sent[topic], rows)))
                else:
                    parts.append(message(topic, list(rows.values())))
                sent[topic] = rows
        return parts

    return send


def _rows(topic: str, snapshot: Snapshot) -> Rows:
    """Rows by key: a process by its name, a connection by router and token."""
    if topic == "processes":
        return {row.name: _dump(row) for row in snapshot.processes}
    return {f"{row.router}/{row.token}": _dump(row) for row in snapshot.connections}


def _dump(row: Process | ConnectionState) -> dict[str, Any]:
    adapter = _process if isinstance(row, Process) else _connection
    dumped: dict[str, Any] = adapter.dump_python(row)
    return dumped
