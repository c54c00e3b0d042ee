"""Pages, rendered on the server from the snapshot; the browser fetches the same page again when a topic of it changed.

So a page is described once, in its template, and works the same at the first paint and an hour later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from dashboard.api import verbs
from dashboard.api.calls import not_told
from dashboard.api.charts import sparkline
from dashboard.api.cluster import KeyQuery, place_key
from dashboard.api.events import EventsQuery, event_of, neighbours, page_of
from dashboard.api.lists import ConnectionsQuery
from dashboard.api.openapi import document
from dashboard.http.context import Context, caller_of
from dashboard.http.endpoints import allow, faults
from dashboard.http.problems import ApiError, from_luabus, invalid, not_found
from dashboard.http.tokens import Role
from dashboard.model.answers import LogLine
from dashboard.pages.templating import language_of, render, theme_of
from dashboard.views import api_reference, list_query, methods, routing_tables, topology
from dashboard.views.status import status_of
from luabus.cluster.snapshot import Snapshot
from luabus.errors import LuabusError
from luabus.messages import Message

KEPT_PAGES: Final = 64
"""Number of rendered pages kept: fifty browsers on the same page cost one rendering per change."""

KNOWN_S: Final = 10.0
"""Greatest age of the snapshot that a page shows without a poll: the poller polls each five seconds at least, and the page's
stream then brings what changed."""

LAST_EVENTS: Final = 6
MOST_CLOSED: Final = 50
"""Number of closed connections on their page."""
LOG_LINES: Final = 400

Build = Callable[[web.Request, Snapshot], dict[str, Any]]
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """Handlers of the pages; a rendered page is kept until a topic that it shows has changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        everything = ("status", "routes", "connections", "processes", "events")
        page = self._page
        return [
            web.get("/", page("overview", everything, self._overview)),
            web.get("/routes", page("routes", ("status", "routes", "connections"), _routes)),
            web.get("/connections", page("connections", ("status", "connections"), _connections)),
            web.get("/processes", page("processes", ("status", "processes"), self._processes)),
            web.get("/processes/{name}", self.process),
            web.get("/events", page("events", ("status", "events"), self._events)),
            web.get("/events/{number}", page("event", ("status", "events"), self._event)),
            web.get("/try", self.try_it),
            web.get("/api", page("api", ("status",), self._api)),
        ]

    def _page(self, name: str, topics: tuple[str, ...], build: Build) -> Serve:
        async def serve(request: web.Request) -> web.Response:
            caller = caller_of(request)
            allow(caller, Role.viewer)
            assert caller is not None
            snapshot = await self._context.poller.recent(KNOWN_S)
            return self._kept_or_made(name, request, snapshot, topics, lambda: build(request, snapshot))

        return serve

    def _kept_or_made(
        self,
        name: str,
        request: web.Request,
        snapshot: Snapshot,
        topics: tuple[str, ...],
        build: Callable[[], dict[str, Any]],
        version: object = None,
    ) -> web.Response:
        """Serve the kept page unless its topics, or `version` of what else it shows, have changed; else render it."""
        caller = caller_of(request)
        allow(caller, Role.viewer)
        assert caller is not None
        versions = tuple(snapshot.versions[topic] for topic in topics)
        language, theme = language_of(request), theme_of(request)
        key = (name, request.path_qs, caller.role, language, theme, versions, version)
        html = self._kept.get(key)
        if html is None:
            html = self._kept[key] = self._render(f"{name}.html", request, snapshot, topics, build())
            while len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
        return web.Response(text=html, content_type="text/html")

    def _render(
        self,
        template: str,
        request: web.Request,
        snapshot: Snapshot,
        topics: tuple[str, ...],
        values: dict[str, Any],
    ) -> str:
        return render(self._context, template, request, snapshot, topics, values)

    async def process(self, request: web.Request) -> web.Response:
        """Page of one process with its log. Not kept: the log has no version."""
        allow(caller_of(request), Role.viewer)
        name = request.match_info["name"]
        snapshot = await self._context.poller.recent(KNOWN_S)
        process = snapshot.process(name)
        opened = request.headers.get("Sec-Fetch-Dest", "document") == "document"
        topics = ("status", "processes")
        if process is None:
            known = [process.name for process in snapshot.processes]
            values: dict[str, Any] = {
                "name": name,
                "opened": opened,
                "message": not_found("process", name, known).message,
            }
            # For an open page that updates itself this is an answer like any other, not a failure.
            return web.Response(
                text=self._render("gone.html", request, snapshot, topics, values),
                status=404 if opened else 200,
                content_type="text/html",
            )
        problem: str | Message = ""
        lines: tuple[LogLine, ...] = ()
        # The page's script follows the log by itself: only the first paint needs the lines here.
        if opened:
            try:
                lines = (await verbs.logs(self._context, name, LOG_LINES)).lines
            except LuabusError as error:
                problem = from_luabus(error).message
            except ApiError as error:
                problem = error.message
        jobs = [job for job in self._context.jobs.shown(snapshot) if job.name in (name, process.service)]
        values = {"process": process, "lines": lines, "problem": problem, "jobs": jobs}
        return web.Response(
            text=self._render("process.html", request, snapshot, topics, values), content_type="text/html"
        )

    async def try_it(self, request: web.Request) -> web.Response:
        """Page with a form for one request, and the methods of the chosen group from the cache."""
        allow(caller_of(request), Role.viewer)
        snapshot = await self._context.poller.recent(KNOWN_S)
        groups = [group for group in snapshot.groups() if group.slots]
        wanted = request.query.get("group", "")
        group = next((group for group in groups if wanted in (group.name, str(group.group))), None)
        group = group or next(iter(groups), None)
        known = await self._context.method_cache.of(group.group) if group is not None else None

        def build() -> dict[str, Any]:
            values: dict[str, Any] = {
                "groups": groups,
                "group": group,
                "methods": (),
                "silent": {},
                "problem": "",
            }
            if group is not None and known is not None:
                declared = methods.merge(group, known.answers)
                values |= {"methods": declared.methods, "silent": declared.silent}
                if known.error is not None:
                    values["problem"] = not_told(snapshot, group, known.error)
            return values

        version = (group.group, known.number) if group is not None and known is not None else None
        return self._kept_or_made("try", request, snapshot, ("status", "routes"), build, version)

    def _overview(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "status": status_of(snapshot),
            "drawings": [topology.draw(snapshot, topology.WIDE), topology.draw(snapshot, topology.NARROW)],
            "events": list(reversed(self._context.journal.find(limit=LAST_EVENTS))),
        }

    def _processes(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        def spark(kind: str, name: str) -> str:
            return sparkline(self._context.history, kind, name, snapshot.at)

        held = {group.name for group in snapshot.groups()}
        services = list_query.by_service(snapshot.processes)
        scalable = {name for name, members in services if name in held or len(members) > 1} - {"router"}
        jobs = self._context.jobs.shown(snapshot)
        return {"services": services, "spark": spark, "jobs": jobs, "scalable": scalable}

    def _events(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        query = _parse_query(EventsQuery, request)
        journal = self._context.journal
        page = page_of(journal, query, language_of(request))
        return {"events": page.events, "page": page, "query": query, "kinds": journal.kinds()}

    def _event(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        event = event_of(self._context.journal, request.match_info["number"])
        before, after = neighbours(self._context.journal, event)
        return {"event": event, "before": before, "after": after}

    def _api(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        return {"tags": _operations()}


@cache
def _operations() -> list[tuple[str, list[api_reference.Operation]]]:
    return api_reference.by_tag(document())


def _parse_query(model: Any, request: web.Request) -> Any:
    """Parse the query as the API's model, without unknown keys. Raises 422 for an invalid value."""
    given = {key: value for key, value in request.query.items() if key in model.model_fields and value != ""}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(faults(error)) from None


def _routes(request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
    problem: str | Message = ""
    places = None
    if request.query.get("key"):
        try:
            places = place_key(snapshot, _parse_query(KeyQuery, request))
        except ApiError as error:
            problem = error.message
    return {
        "groups": routing_tables.group_tables(snapshot),
        "differing": snapshot.differing_groups(),
        "electing": {group.group for group in snapshot.groups() if group.elects},
        "places": places,
        "problem": problem,
        "asked_group": request.query.get("group", ""),
        "asked_key": request.query.get("key", ""),
        "asked_type": request.query.get("type", "str"),
    }


def _connections(request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
    query = _parse_query(ConnectionsQuery, request)
    limit = min(query.limit, list_query.PAGE_SIZE)
    rows = [row for row in snapshot.connections if query.router in ("", row.router)]
    page = list_query.select(rows, query.q, query.sort, query.offset, limit)
    closed = [row for row in list_query.closed(snapshot, query.q) if query.router in ("", row.router)]
    return {"page": page, "query": query, "closed": closed, "most_closed": MOST_CLOSED}
