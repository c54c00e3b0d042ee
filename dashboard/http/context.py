"""What every request handler needs, in one place: put into the application once, read from it everywhere."""

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
from dashboard.http.proxies import Network, client_address, scheme_of
from dashboard.http.tokens import GuessLimit, Role, Tokens


@dataclass(frozen=True, slots=True)
class Options:
    """`prefix` is the path under which a reverse proxy shows the dashboard (`/luabus`, or empty); `hosts` are the names besides
    the loopback ones by which it may be called; of `trusted_proxies` it is believed for whom they ask, and by which scheme."""

    port: int = 8070
    prefix: str = ""
    hosts: Sequence[str] = ()
    trusted_proxies: Sequence[Network] = ()


class Count:
    """How many of something there are now."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One more while inside."""
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
    now: Callable[[], float] = time.time
    method_cache: MethodCache = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method_cache", MethodCache(self.poller))


CONTEXT: Final = web.AppKey("context", Context)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the role, how it was proved (`bearer` or `session`), from which address, and the language for sentences."""

    role: Role
    by: str
    address: str
    language: str = "en"

    def __str__(self) -> str:
        return f"{self.role.name} by {self.by}"


CALLER: Final = web.RequestKey("caller", Caller)


def address_of(request: web.Request) -> str:
    """From where a request comes; behind trusted proxies, the address that they heard."""
    trusted = request.app[CONTEXT].options.trusted_proxies
    return client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), trusted)


def seen_scheme(request: web.Request) -> str:
    """`http` or `https`, as the browser sees it."""
    forwarded = request.headers.getall("X-Forwarded-Proto", ())
    return scheme_of(request.scheme, request.remote, forwarded, request.app[CONTEXT].options.trusted_proxies)


def caller_of(request: web.Request) -> Caller | None:
    """Who asks; None for a stranger."""
    return request.get(CALLER)
