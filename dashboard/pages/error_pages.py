"""How a request that ends in an error is answered: programs get a problem document, people a page with a way on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from aiohttp import web

from dashboard.http.context import CONTEXT
from dashboard.http.problems import ApiError, response
from dashboard.pages.templating import language_of, render
from luabus.messages import Message

TITLES: Final = {
    403: Message("problem.this-is-not"),
    404: Message("problem.there-is-no-such-page"),
    405: Message("problem.this-page-is-only-looked"),
    421: Message("problem.the-dashboard-is-not-called"),
    422: Message("problem.this-address-asks-for-what"),
    500: Message("problem.something-went-wrong-in-the-dashboard"),
    503: Message("problem.this-cannot-be-told-now"),
}


def wants_page(request: web.Request) -> bool:
    """Whether a person's browser asks for a page, rather than a program for data."""
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def refusal(request: web.Request, error: ApiError) -> web.StreamResponse:
    """A page's 401 is the way to the login; whatever else, a page or a problem document with the same status."""
    if not wants_page(request):
        return response(error, request.path, language_of(request))
    context = request.app[CONTEXT]
    if error.status == 401:
        where = f"{context.options.prefix}/login?next={quote(request.path_qs, safe='')}"
        return web.Response(status=303, headers={"Location": where})
    title = TITLES.get(
        error.status,
        Message("problem.status-phrase", status=error.status, phrase=HTTPStatus(error.status).phrase),
    )
    html = render(
        context,
        "problem.html",
        request,
        context.poller.snapshot,
        ("status",),
        {"heading": title, "message": error.message},
    )
    return web.Response(text=html, status=error.status, headers=error.headers, content_type="text/html")
