"""Login and logout: the printed URL, the form, the session's cookie."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from dashboard.http.context import Context, address_of, caller_of
from dashboard.http.endpoints import read_body
from dashboard.http.problems import ApiError
from dashboard.http.sessions import check_token, cookie_name, end_session, give_session
from dashboard.pages.templating import render
from luabus.messages import Message

MOST_FIELDS: Final = 20


class Login:
    """Routes of the login, which need no session."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/login", self.login),
            web.post("/login", self.log_in),
            web.post("/logout", self.log_out),
        ]

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or log in at once by the printed URL. Sessions are not stored, so this GET changes no state."""
        target = local(request.query.get("next", "/"))
        token = request.query.get("token")
        if token is not None:
            return self._enter(request, token, target)
        if caller_of(request) is not None:
            raise web.HTTPSeeOther(self._context.options.prefix + target)
        return self._page(request, target, "", 200)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        raw = await read_body(request, "application/x-www-form-urlencoded")
        try:
            form = parse_qs(raw.decode(errors="replace"), max_num_fields=MOST_FIELDS)
        except ValueError:
            raise ApiError(422, Message("problem.the-form-has-more-than-fields", most=MOST_FIELDS)) from None
        token, target = (form.get(name, [""])[0] for name in ("token", "next"))
        return self._enter(request, token, local(target))

    def _enter(self, request: web.Request, token: str, target: str) -> web.StreamResponse:
        try:
            role = check_token(self._context, token.strip(), address_of(request))
        except ApiError as error:
            page = self._page(request, target, error.message, error.status)
            page.headers.update(error.headers)
            return page
        result = web.Response(status=303, headers={"Location": self._context.options.prefix + target})
        give_session(request, result, role)
        return result

    def _page(self, request: web.Request, target: str, problem: str | Message, status: int) -> web.Response:
        values = {"target": target, "problem": problem}
        html = render(self._context, "login.html", request, self._context.poller.snapshot, (), values)
        return web.Response(text=html, status=status, content_type="text/html")

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """End the session at the server, and with it every copy of its cookie."""
        result = web.Response(status=303, headers={"Location": f"{self._context.options.prefix}/login"})
        end_session(request)
        result.del_cookie(cookie_name(self._context), path=self._context.options.prefix or "/")
        return result


def local(target: str) -> str:
    """Path to go to after the login: `target` if it is one of this site, else `/`."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    own = (
        target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and not parts.netloc
        and not parts.scheme
    )
    return target if own and "\\" not in target and target.isprintable() else "/"
