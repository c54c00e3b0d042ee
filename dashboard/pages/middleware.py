"""Middleware of every request: Host allow-list, origin check, authentication, errors as problems, headers."""

from __future__ import annotations

import ipaddress
import json
import logging
from typing import Final

from aiohttp import web

from dashboard.http.connections import attended
from dashboard.http.context import CONTEXT, seen_scheme
from dashboard.http.headers import HEADERS
from dashboard.http.problems import ApiError, response
from dashboard.http.proxies import host_name, same_origin
from dashboard.http.sessions import Next, identify
from dashboard.i18n import choose_language
from dashboard.pages.error_pages import refusal
from luabus.messages import Message

log = logging.getLogger("dashboard.http")

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@web.middleware
async def answers(request: web.Request, handler: Next) -> web.StreamResponse:
    """Outermost middleware: makes problem documents or pages of errors, and adds the headers."""
    try:
        result = await handler(request)
    except ApiError as error:
        result = refusal(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            error.headers.update(HEADERS)
            raise
        result = refusal(request, _from_aiohttp(request, error))
    except web.RequestPayloadError as error:
        result = refusal(request, ApiError(400, Message("problem.the-body-is-not-what", why=str(error))))
    except ConnectionResetError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        result = _failed(request)
    if not result.prepared:
        result.headers.update(HEADERS)
        if not request.path.startswith("/static/"):
            result.headers.setdefault("Cache-Control", "no-store")
        # To a quarter. A page has no secret in it, so its length tells none (BREACH).
        if result.content_type == "text/html":
            result.headers["Vary"] = "Accept-Encoding, Accept-Language"
            result.headers["Content-Language"] = choose_language(request.headers.get("Accept-Language", ""))
            result.enable_compression()
    return result


def _failed(request: web.Request) -> web.StreamResponse:
    error = ApiError(500, Message("problem.an-error-in-the-dashboard"))
    try:
        return refusal(request, error)
    except Exception:  # what failed may be what every page is made of
        log.exception("the page that tells of it failed as well")
        return response(error, request.path)


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> ApiError:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ApiError(
            405,
            Message(
                "problem.is-not-for-allowed",
                method=request.method,
                path=request.path,
                allowed=allowed,
            ),
            headers={"Allow": allowed},
        )
    if error.status == 404:
        message = Message("problem.there-is-nothing-at-api-v1", path=request.path)
        return ApiError(404, message)
    return ApiError(error.status, error.reason)


@web.middleware
async def own_host(request: web.Request, handler: Next) -> web.StreamResponse:
    """Refuse a Host that is not allowed: a page elsewhere whose name points here (DNS rebinding) sends its own name.

    An address instead of a name cannot be such a page's.
    """
    host = request.headers.get("Host", "")
    name = host_name(host)
    if name is None:
        raise ApiError(421, Message("problem.the-host-is-neither-a-name", host=repr(host)))
    known = map(str.lower, request.app[CONTEXT].options.hosts)
    if name != "localhost" and not _is_address(name) and name not in known:
        message = Message(
            "problem.this-dashboard-is-not-called-if",
            name=repr(name),
            quoted=json.dumps(name),
            plain=name,
        )
        raise ApiError(421, message)
    return await handler(request)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@web.middleware
async def own_origin(request: web.Request, handler: Next) -> web.StreamResponse:
    """Refuse unsafe methods from another site's page (CSRF): the origin that a browser sends must be this one.

    A browser that says `same-origin` has compared the schemes itself, and sees the TLS of a proxy that we know nothing of.
    """
    if request.method not in SAFE:
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None and site not in ("same-origin", "none"):
            message = Message(
                "problem.a-page-of-another-site-asked",
                site=repr(site),
            )
            raise ApiError(403, message)
        origin = request.headers.get("Origin")
        scheme = seen_scheme(request)
        schemes = ("http", "https") if site == "same-origin" else (scheme,)
        if origin is not None and not same_origin(origin, schemes, request.headers["Host"]):
            message = Message("problem.a-page-of-asked", origin=repr(origin))
            if same_origin(origin, ("https",), request.headers["Host"]):
                message = Message(
                    "problem.it-came-here-over-name",
                    said=message,
                    scheme=scheme,
                )
            raise ApiError(403, message)
    return await handler(request)


MIDDLEWARES: Final = (attended, answers, own_host, own_origin, identify)
