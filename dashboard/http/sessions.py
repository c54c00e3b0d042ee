"""Authentication: a bearer token with every request, or a session in a signed cookie that was given for a token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from dashboard.http.context import CALLER, CONTEXT, Caller, Context, address_of, seen_scheme
from dashboard.http.problems import ApiError
from dashboard.http.tokens import RENEW_AFTER_S, SESSION_S, Claims, Role
from dashboard.i18n import choose_language
from luabus.messages import Message

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def identify(request: web.Request, handler: Next) -> web.StreamResponse:
    """Authenticate the caller by bearer token or session cookie; authorization is each endpoint's."""
    context = request.app[CONTEXT]
    address = address_of(request)
    header = request.headers.get("Authorization")
    language = choose_language(request.headers.get("Accept-Language", ""))
    renew: Claims | None = None
    if context.token_files is not None:
        context.token_files.look(context.now())
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(
                401,
                Message(
                    "problem.the-scheme-is-not-known-here",
                    scheme=repr(scheme),
                ),
                headers={"WWW-Authenticate": 'Bearer realm="luabus"'},
            )
        token = token.strip()
        request[CALLER] = Caller(check_token(context, token, address), "bearer", address, language, token)
    elif (session := session_of(request)) is not None:
        request[CALLER] = Caller(session.role, "session", address, language, session)
        renew = session if session.left_s < SESSION_S - RENEW_AFTER_S else None
    result = await handler(request)
    if renew is not None and not result.prepared and cookie_name(context) not in result.cookies:
        give_session(request, result, renew.role, renew)
    return result


def session_of(request: web.Request) -> Claims | None:
    """The session of a request, if it has not ended."""
    context = request.app[CONTEXT]
    cookie = request.cookies.get(cookie_name(context))
    session = context.tokens.session_of(cookie, context.now()) if cookie else None
    return None if session is None or session in context.ended else session


def may_still(context: Context, caller: Caller | None) -> bool:
    """Whether what the caller showed still counts, for answers that go on: a token may have been replaced meanwhile, a session
    have ended."""
    if caller is None:
        return True
    if context.token_files is not None:
        context.token_files.look(context.now())
    if isinstance(caller.proof, str):
        return context.tokens.role_of(caller.proof) == caller.role
    session = caller.proof
    of_this_token = session.signed_by == context.tokens.mark(session.role)
    return of_this_token and session not in context.ended and context.now() < session.ends_at


def check_token(context: Context, token: str, address: str) -> Role:
    """The role of a token. Raises 401 for a wrong one, 429 when this address guessed too often.

    A right one passes whatever was guessed from its address: others may share that (a proxy, one machine), and must not be able
    to lock its admin and its Prometheus out. Whoever guesses on learns nothing from it: it would take the token itself to see the
    difference, and that is beyond guessing (`tokens.LEAST_TOKEN`).
    """
    role = context.tokens.role_of(token)
    if role is not None:
        return role
    now = context.now()
    wait = context.limit.wait_s(address, now)
    if wait > 0:
        raise ApiError(
            429,
            Message(
                "problem.too-many-wrong-tokens-from-try",
                address=address,
                wait=f"{wait:.0f}",
            ),
            headers={"Retry-After": str(max(1, round(wait)))},
        )
    context.limit.wrong(address, token, now)
    raise ApiError(
        401,
        Message("problem.this-token-is-not-right-luabus"),
        headers={"WWW-Authenticate": 'Bearer realm="luabus"'},
    )


def cookie_name(context: Context) -> str:
    """Name with the port, which cookies do not know: two clusters on one machine must not end each other's sessions."""
    return f"luabus_session_{context.options.port}"


def end_session(request: web.Request) -> None:
    """Ends the caller's session, wherever its cookie has been copied to."""
    context = request.app[CONTEXT]
    session = session_of(request)
    if session is not None:
        context.ended.add(session, context.now())


def give_session(
    request: web.Request, result: web.StreamResponse, role: Role, of: Claims | None = None
) -> None:
    """Begins a session, or renews one."""
    context = request.app[CONTEXT]
    result.set_cookie(
        cookie_name(context),
        context.tokens.session(role, context.now(), of),
        max_age=SESSION_S,
        path=context.options.prefix or "/",
        httponly=True,
        samesite="Strict",
        secure=seen_scheme(request) == "https",
    )
