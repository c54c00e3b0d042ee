"""The pages: rendered here, complete, from what is known; the browser then fetches the same page again when something changed.

So a page is described once, in its template, and works the same at the first paint and an hour later.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from dashboard import verbs
from dashboard.api import ConnectionsQuery, EventsQuery, KeyQuery, place_key
from dashboard.auth import Role
from dashboard.context import Context, caller_of
from dashboard.endpoints import allow
from dashboard.guard import check_token, cookie_name, give_session
from dashboard.problems import ApiError, from_luabus, invalid, not_found
from dashboard.render import health, rows, tables, topology, words
from dashboard.render.status import status_of
from dashboard.snapshot import Snapshot
from dashboard.texts import CATALOGUES, Text, choose_language
from luabus.errors import LuabusError

HERE: Final = Path(__file__).parent
KEPT_PAGES: Final = 64
"""Rendered pages kept: fifty browsers that look at the same thing cost one rendering per change."""

LAST_EVENTS: Final = 6

Build = Callable[[web.Request, Snapshot], dict[str, Any]]


@cache
def assets_version() -> str:
    """A mark of the static files' contents, so that a browser may keep them for ever and still gets new ones."""
    digest = blake2b(digest_size=6)
    for path in sorted((HERE / "static").rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "size": words.size,
        "duration": words.duration,
        "rate": words.rate,
        "percent": words.percent,
        "ms": words.milliseconds,
        "exit_text": health.exit_text,
        "process_level": health.process_level,
        "attr_json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    }
    return env


class Pages:
    """Renders pages and keeps them until what they show has changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(
                "/",
                self._page(
                    "overview", ("status", "routes", "connections", "processes", "events"), self._overview
                ),
            ),
            web.get("/routes", self._page("routes", ("status", "routes", "connections"), _routes)),
            web.get("/connections", self._page("connections", ("status", "connections"), _connections)),
            web.get("/processes", self._page("processes", ("status", "processes"), _processes)),
            web.get("/processes/{name}", self.process),
            web.get("/events", self._page("events", ("status", "events"), self._events)),
            web.get("/login", self.login),
            web.post("/login", self.log_in),
            web.post("/logout", self.log_out),
        ]

    def _page(self, name: str, topics: tuple[str, ...], build: Build) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.Response:
            caller = caller_of(request)
            allow(caller, Role.viewer)
            assert caller is not None
            snapshot = await self._context.feed.recent()
            language = language_of(request)
            versions = tuple(snapshot.versions[topic] for topic in topics)
            key = (name, request.path_qs, caller.role, language, versions)
            html = self._kept.get(key)
            if html is None:
                html = self._render(f"{name}.html", request, snapshot, topics, build(request, snapshot))
                self._kept[key] = html
                while len(self._kept) > KEPT_PAGES:
                    self._kept.popitem(last=False)
            return web.Response(text=html, content_type="text/html")

        return serve

    async def process(self, request: web.Request) -> web.Response:
        """One process with its log. Not kept: the log has no version."""
        caller = caller_of(request)
        allow(caller, Role.viewer)
        name = request.match_info["name"]
        snapshot = await self._context.feed.recent()
        process = snapshot.process(name)
        if process is None:
            raise not_found("process", name, [one.name for one in snapshot.processes])
        problem = ""
        lines: tuple[str, ...] = ()
        try:
            lines = (await verbs.logs(self._context, name, 400)).lines
        except LuabusError as error:
            problem = from_luabus(error).detail
        except ApiError as error:
            problem = error.detail
        found = {"process": process, "lines": lines, "problem": problem}
        return web.Response(
            text=self._render("process.html", request, snapshot, ("status", "processes"), found),
            content_type="text/html",
        )

    def _overview(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "status": status_of(snapshot),
            "drawings": [topology.draw(snapshot, topology.WIDE), topology.draw(snapshot, topology.NARROW)],
            "events": list(reversed(self._context.journal.find(limit=LAST_EVENTS))),
        }

    def _events(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        asked = _asked(EventsQuery, request)
        found = self._context.journal.find(asked.after, asked.limit, asked.q, asked.kind)
        return {"events": list(reversed(found)), "asked": asked}

    async def login(self, request: web.Request) -> web.StreamResponse:
        """The form; or, from the printed URL, the session at once. A session is no state of ours, so this GET changes nothing."""
        target = _local(request.query.get("next", "/"))
        token = request.query.get("token")
        if token is not None:
            return self._enter(request, token, target)
        if caller_of(request) is not None:
            raise web.HTTPSeeOther(self._context.options.prefix + target)
        return self._login_page(request, target, "", 200)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        token, target = form.get("token", ""), form.get("next", "/")
        if not isinstance(token, str) or not isinstance(target, str):
            raise ApiError(422, "token and next are texts")
        return self._enter(request, token, _local(target))

    def _enter(self, request: web.Request, token: str, target: str) -> web.StreamResponse:
        try:
            role = check_token(self._context, token.strip(), request.remote or "unknown")
        except ApiError as error:
            page = self._login_page(request, target, error.detail, error.status)
            page.headers.update(error.headers)
            return page
        result = web.Response(status=303, headers={"Location": self._context.options.prefix + target})
        give_session(self._context, result, role)
        return result

    def _login_page(self, request: web.Request, target: str, problem: str, status: int) -> web.Response:
        html = self._render(
            "login.html", request, self._context.feed.snapshot, (), {"target": target, "problem": problem}
        )
        return web.Response(text=html, status=status, content_type="text/html")

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        result = web.Response(status=303, headers={"Location": f"{self._context.options.prefix}/login"})
        result.del_cookie(cookie_name(self._context), path=self._context.options.prefix or "/")
        return result

    def _render(
        self,
        template: str,
        request: web.Request,
        snapshot: Snapshot,
        topics: tuple[str, ...],
        found: dict[str, Any],
    ) -> str:
        language = language_of(request)
        prefix = self._context.options.prefix
        caller = caller_of(request)

        def url(path: str, **query: object) -> str:
            asked = urlencode({key: value for key, value in query.items() if value not in (None, "", 0)})
            return f"{prefix}{path}?{asked}" if asked else f"{prefix}{path}"

        def say(text: str | Text, **values: object) -> str:
            return (text if isinstance(text, Text) else Text(text, **values)).to(language)

        return (
            environment()
            .get_template(template)
            .render(
                _=say,
                url=url,
                asset=lambda name: f"{prefix}/static/{name}?v={assets_version()}",
                language=language,
                catalogue=Markup(
                    json.dumps(dict(CATALOGUES.get(language, {})), ensure_ascii=False).replace("<", "\\u003c")
                ),
                prefix=prefix,
                path=request.path,
                topics=",".join(topics),
                role=caller.role if caller else None,
                Role=Role,
                cluster=snapshot.cluster,
                snapshot=snapshot,
                health=health.assess(snapshot),
                **found,
            )
        )


def language_of(request: web.Request) -> str:
    return choose_language(request.headers.get("Accept-Language", ""))


def _local(target: str) -> str:
    """Where to go after the login: a path of ours, whatever was asked."""
    parts = urlsplit(target)
    own = (
        target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and not parts.netloc
        and not parts.scheme
    )
    return target if own and "\\" not in target and target.isprintable() else "/"


def _asked(model: Any, request: web.Request) -> Any:
    """The query as the API's model; what is not known there is ignored here, what is wrong is said."""
    given = {key: value for key, value in request.query.items() if key in model.model_fields and value != ""}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False)) from None


def _routes(request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
    places, problem = None, ""
    if request.query.get("key"):
        try:
            places = place_key(snapshot, _asked(KeyQuery, request))
        except ApiError as error:
            problem = error.detail
    return {
        "groups": tables.group_tables(snapshot),
        "differing": tables.differing_groups(snapshot),
        "places": places,
        "problem": problem,
        "asked_group": request.query.get("group", ""),
        "asked_key": request.query.get("key", ""),
        "asked_type": request.query.get("type", "str"),
    }


def _connections(request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
    asked = _asked(ConnectionsQuery, request)
    limit = min(asked.limit, rows.PAGE_SIZE)
    found = [row for row in snapshot.connections if asked.router in ("", row.router)]
    return {"page": rows.select(found, asked.q, asked.sort, asked.offset, limit), "asked": asked}


def _processes(request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
    return {"services": rows.by_service(snapshot.processes)}
