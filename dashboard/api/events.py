"""What happened, as the API and the pages show it: lists that are read on from a number in both directions, and each event by
its number, which is its address for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from dashboard.api.lists import Words
from dashboard.collector.journal import Entry, Journal
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.problems import ApiError
from dashboard.http.tokens import Role
from dashboard.model.answers import Event, Events
from dashboard.model.requests import RequestModel
from luabus.messages import Message

MOST_DIGITS: Final = 18


class EventsQuery(RequestModel):
    """`after` reads on, `before` reads back; without both, the newest."""

    after: Annotated[int, Field(ge=0, description="api.only-events-with-a-higher-number")] = 0
    before: Annotated[int, Field(ge=0, description="api.only-events-with-a-lower-number")] = 0
    limit: Annotated[int, Field(ge=1, le=5000)] = 100
    q: Words = ""
    kind: Annotated[str, Field(max_length=40)] = ""


@endpoint(
    "GET",
    "/api/v1/history",
    role=Role.viewer,
    tag="events",
    answer=Events,
    query=EventsQuery,
    summary="api.what-happened-oldest-first-without-after",
)
async def history(call: Call) -> Events:
    query: EventsQuery = call.query
    journal = call.context.journal
    events = _find(journal, query)
    return Events(
        events=tuple(events),
        next=events[-1].seq if events else max(query.after, journal.next - 1),
        oldest=journal.oldest,
    )


@endpoint(
    "GET",
    "/api/v1/history/{number}",
    role=Role.viewer,
    tag="events",
    answer=Event,
    summary="api.one-event-by-its-number",
    problems=(404,),
)
async def one_event(call: Call) -> Event:
    return event_of(call.context.journal, call.request.match_info["number"])


def event_of(journal: Journal, number: str) -> Entry:
    """Shared with the page. Raises 404 for one that is not kept any more, is not there yet, or is no number."""
    known = number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS
    event = journal.get(int(number)) if known else None
    if event is not None:
        return event
    if not known or int(number) == 0:
        raise ApiError(404, Message("problem.there-is-no-event-events-have", number=repr(number[:40])))
    if int(number) >= journal.next:
        message = Message(
            "problem.event-has-not-happened-yet",
            number=number,
            newest=journal.next - 1,
        )
        raise ApiError(404, message)
    if int(number) >= journal.oldest:
        raise ApiError(404, Message("problem.event-was-lost-when-the-dashboard", number=number))
    message = Message("problem.event-is-no-longer-kept", number=number, oldest=journal.oldest)
    raise ApiError(404, message)


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first. `older` and `newer` are the queries of the pages beside it; None where there is nothing."""

    events: tuple[Entry, ...]
    older: Mapping[str, Any] | None
    newer: Mapping[str, Any] | None


def page_of(journal: Journal, query: EventsQuery, language: str = "en") -> Page:
    """What one page shows; the newest page is the one that names no number, and so goes on with what happens."""
    events = _find(journal, query, language)
    first = events[0].seq if events else query.after + 1 if query.after else query.before
    last = events[-1].seq if events else query.before - 1 if query.before else query.after
    older = journal.find(0, 1, query.q, query.kind, first, language=language) if first else []
    newer = journal.find(last, query.limit + 1, query.q, query.kind, language=language) if last else []
    beside = {"q": query.q, "kind": query.kind}
    on = {"after": last} if len(newer) > query.limit else {}
    away = not events and bool(query.after or query.before)
    return Page(
        events=tuple(reversed(events)),
        older=beside | {"before": first} if older else None,
        newer=beside | on if newer or away else None,
    )


def neighbours(journal: Journal, event: Entry) -> tuple[Entry | None, Entry | None]:
    """The events before and after this one; None where it is the oldest or the newest."""
    before = journal.find(limit=1, before=event.seq)
    after = journal.find(limit=1, after=event.seq)
    return (before[0] if before else None, after[0] if after else None)


def _find(journal: Journal, query: EventsQuery, language: str = "en") -> list[Entry]:
    return journal.find(query.after, query.limit, query.q, query.kind, query.before, language=language)
