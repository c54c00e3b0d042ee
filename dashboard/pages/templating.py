"""Templates and their context: addresses, texts in the reader's language, the caller's role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

from dashboard.http.context import Context, caller_of
from dashboard.http.tokens import Role
from dashboard.i18n import choose_language, word
from dashboard.pages.assets import address, modules
from dashboard.views import formatting, log_lines, processes
from dashboard.views.status import staleness
from luabus.cluster import health, verbs
from luabus.cluster.snapshot import Snapshot
from luabus.messages import Message

HERE: Final = Path(__file__).parents[1]
THEMES: Final = ("light", "dark")


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
        "size": formatting.size,
        "duration": pass_context(lambda context, value: formatting.span(value).to(context["language"])),
        "word": pass_context(lambda context, name: word(name).to(context["language"])),
        "rate": formatting.rate,
        "unstyled": formatting.unstyled,
        "line_class": log_lines.line_class,
        "line_hint": log_lines.line_hint,
        "percent": formatting.percent,
        "ms": formatting.milliseconds,
        "exit_text": pass_context(lambda context, ended: _in(health.ending(ended), context["language"])),
        "process_level": health.process_level,
        "verbs_of": verbs.offered,
        "verbs_of_all": verbs.offered_to_all,
        "why": pass_context(lambda context, process: _in(processes.why(process), context["language"])),
        "last_word": processes.last_word,
        "attr_json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        "moment": lambda at: (
            datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        ),
    }
    return env


def _in(message: Message | None, language: str) -> str:
    return "" if message is None else message.to(language)


def prepare() -> None:
    """Compile every template before the first request."""
    env = environment()
    for name in env.list_templates():
        env.get_template(name)


def language_of(request: web.Request) -> str:
    return choose_language(request.headers.get("Accept-Language", ""))


def theme_of(request: web.Request) -> str:
    """Theme `light` or `dark` if the reader chose one, from the cookie of the page's script; else empty, for the system's.

    A cookie, so that the page comes with it: a script that looks it up would hold up the first paint.
    """
    chosen = request.cookies.get("luabus_theme", "")
    return chosen if chosen in THEMES else ""


def render(
    context: Context,
    template: str,
    request: web.Request,
    snapshot: Snapshot,
    topics: tuple[str, ...],
    values: Mapping[str, Any],
) -> str:
    """Render one page with `values`. `topics` are those whose changes it shows."""
    language = language_of(request)
    prefix = context.options.prefix
    caller = caller_of(request)

    def url(path: str, **query: object) -> str:
        parameters = urlencode({key: value for key, value in query.items() if value not in (None, "", 0)})
        return f"{prefix}{path}?{parameters}" if parameters else f"{prefix}{path}"

    def say(text: str | Message, **values: object) -> str:
        return (text if isinstance(text, Message) else Message(text, **values)).to(language)

    return (
        environment()
        .get_template(template)
        .render(
            _=say,
            url=url,
            asset=lambda name: prefix + address(name),
            scripts_of=lambda *names: " ".join(prefix + address(name) for name in modules(*names)),
            language=language,
            theme=theme_of(request),
            prefix=prefix,
            path=request.path,
            versions={topic: snapshot.versions.get(topic, 0) for topic in topics},
            role=caller.role if caller else None,
            Role=Role,
            cluster=snapshot.cluster,
            snapshot=snapshot,
            health=health.assess(snapshot),
            stale=staleness(snapshot),
            **values,
        )
    )
