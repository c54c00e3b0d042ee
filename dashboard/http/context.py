"""Application context of the request handlers, and the caller of a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from dashboard.collector.jobs import Jobs
from dashboard.collector.journal import Journal
from dashboard.collector.method_cache import MethodCache
from dashboard.collector.poller import Poller
from dashboard.collector.time_series import History
from dashboard.http.ended_sessions import EndedSessions
from dashboard.http.proxies import Network, client_address, scheme_of
from dashboard.http.tokens import Claims, GuessLimit, Role, TokenFiles, Tokens


@dataclass(frozen=True, slots=True)
class Options:
    """`prefix` is the path under which a reverse proxy shows the dashboard (`/luabus`, or empty); `hosts` are the names besides
    the loopback ones by which it may be called; `trusted_proxies` are believed about the client's address and scheme."""

    port: int = 8070
    prefix: str = ""
    hosts: Sequence[str] = ()
    trusted_proxies: Sequence[Network] = ()


class Count:
    """Counter of things in use."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one while inside."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


@dataclass(frozen=True, slots=True)
class Context:
    poller: Poller
    tokens: Tokens
    journal: Journal
    options: Options
    history: History = field(default_factory=History)
    jobs: Jobs = field(default_factory=lambda: Jobs(time.time))
    tails: Count = field(default_factory=Count)
    limit: GuessLimit = field(default_factory=GuessLimit)
    ended: EndedSessions = field(default_factory=EndedSessions)
    token_files: TokenFiles | None = None
    now: Callable[[], float] = time.time
    method_cache: MethodCache = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method_cache", MethodCache(self.poller))


CONTEXT: Final = web.AppKey("context", Context)


@dataclass(frozen=True, slots=True)
class Caller:
    """Authenticated caller: its role, how that was proved (`bearer` or `session`), address, language for texts, and what it shows
    for that: its token or its session."""

    role: Role
    by: str
    address: str
    language: str = "en"
    proof: str | Claims = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.role.name} by {self.by}"


CALLER: Final = web.RequestKey("caller", Caller)


def address_of(request: web.Request) -> str:
    """Client address of a request; behind trusted proxies, the one that they forward."""
    trusted = request.app[CONTEXT].options.trusted_proxies
    return client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), trusted)


def seen_scheme(request: web.Request) -> str:
    """Scheme as the browser sees it: `http` or `https`."""
    forwarded = request.headers.getall("X-Forwarded-Proto", ())
    return scheme_of(request.scheme, request.remote, forwarded, request.app[CONTEXT].options.trusted_proxies)


def caller_of(request: web.Request) -> Caller | None:
    """Caller of a request; None when it is not authenticated."""
    return request.get(CALLER)
