"""Something asynchronous, served beside a test that is not: in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiohttp import web

from dashboard.app import make_app
from dashboard.collector.journal import Journal
from dashboard.collector.poller import Poller
from dashboard.http.context import Context, Options
from dashboard.http.tokens import Tokens
from tests.dashboard.cluster import Clock, ScriptedCluster
from tests.dashboard.conftest import TOKENS

T = TypeVar("T")
PATIENCE_S = 30.0


@contextmanager
def in_thread(manager: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What `manager()` gives, until the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="served")
    thread.start()
    try:
        entered = manager()
        value = asyncio.run_coroutine_threadsafe(entered.__aenter__(), loop).result(PATIENCE_S)
        try:
            yield value
        finally:
            asyncio.run_coroutine_threadsafe(entered.__aexit__(None, None, None), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[int]:
    """The port at which it is served, as the dashboard's own process serves it."""
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True, auto_decompress=False
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scripted(**options: Any) -> AsyncIterator[int]:
    """The port of a dashboard over a scripted cluster."""
    clock = Clock()
    context = Context(
        poller=Poller(ScriptedCluster(), now=clock),
        tokens=Tokens(TOKENS),
        journal=Journal(None, clock),
        options=Options(**options),
        now=clock,
    )
    async with served(make_app(context)) as port:
        yield port
