"""What every request handler needs, in one place: put into the application once, read from it everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from dashboard.auth import GuessLimit, Keys, Role
from dashboard.feed import Feed
from dashboard.history import History
from dashboard.jobs import Jobs
from dashboard.journal import Journal


@dataclass(frozen=True, slots=True)
class Options:
    """`prefix` is the path under which a reverse proxy shows the dashboard (`/luabus`, or empty); `hosts` are the names besides
    the loopback ones by which it may be called; `secure` when it is served over TLS, here or by the proxy."""

    port: int = 8070
    prefix: str = ""
    hosts: Sequence[str] = ()
    secure: bool = False


class Count:
    """How many of something there are now."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


@dataclass(frozen=True, slots=True)
class Context:
    feed: Feed
    keys: Keys
    journal: Journal
    options: Options
    history: History = field(default_factory=History)
    jobs: Jobs = field(default_factory=lambda: Jobs(time.time))
    tails: Count = field(default_factory=Count)
    limit: GuessLimit = field(default_factory=GuessLimit)
    now: Callable[[], float] = time.time


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


def caller_of(request: web.Request) -> Caller | None:
    """Who asks; None for a stranger."""
    return request.get(CALLER)
