"""How a request that ends in an error is answered: programs get a problem document, people a page with a way on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from aiohttp import web

from dashboard.http.context import CONTEXT
from dashboard.http.problems import ApiError, response
from dashboard.i18n import Text
from dashboard.pages.templating import language_of, render

TITLES: Final = {
    403: Text("This is not for you"),
    404: Text("There is no such page"),
    405: Text("This page is only looked at"),
    421: Text("The dashboard is not called that"),
    422: Text("This address asks for what there is not"),
    500: Text("Something went wrong in the dashboard"),
    503: Text("This cannot be told now"),
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
        error.status, Text("{status} {phrase}", status=error.status, phrase=HTTPStatus(error.status).phrase)
    )
    html = render(
        context,
        "problem.html",
        request,
        context.feed.snapshot,
        ("status",),
        {"heading": title, "said": error.said},
    )
    return web.Response(text=html, status=error.status, headers=error.headers, content_type="text/html")
