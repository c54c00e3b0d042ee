"""The aiohttp application, assembled from its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

# Importing these enters their endpoints into the table.
from dashboard.api import calls, charts, cluster, event_stream, events, lists, log_stream, metrics, openapi  # noqa: F401
from dashboard.collector.method_sampler import MethodSampler
from dashboard.collector.recorder import Recorder
from dashboard.http.context import CONTEXT, Context
from dashboard.http.endpoints import add_routes
from dashboard.pages.assets import Assets
from dashboard.pages.login import Login
from dashboard.pages.middleware import MIDDLEWARES
from dashboard.pages.page_handlers import Pages
from dashboard.pages.templating import prepare


def make_app(context: Context) -> web.Application:
    """Create the application over a context; the poller starts and stops with it."""
    app = web.Application(middlewares=MIDDLEWARES)
    app[CONTEXT] = context
    add_routes(app)
    app.add_routes(Pages(context).routes())
    app.add_routes(Login(context).routes())
    app.add_routes(Assets().routes())
    prepare()
    app.cleanup_ctx.append(_run_poller)
    app.on_shutdown.append(_let_go)
    Recorder(context.journal, context.poller)
    context.poller.observe(lambda old, new, _: context.history.look(old, new))
    context.history.subscribe(lambda: context.poller.bump("series"))
    context.jobs.subscribe(lambda: context.poller.bump("processes"), look=context.poller.after_change)
    context.journal.subscribe(lambda event: context.poller.bump("events"))
    return app


async def _run_poller(app: web.Application) -> AsyncIterator[None]:
    context = app[CONTEXT]
    await context.poller.start()
    handlers = MethodSampler(context.method_cache, context.history, context.now)
    asking = asyncio.create_task(handlers.run(), name="dashboard handlers")
    yield
    await context.jobs.stop()
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await context.method_cache.stop()
    await context.poller.stop()


async def _let_go(app: web.Application) -> None:
    """Release open event streams, for which the server waits only a moment."""
    app[CONTEXT].poller.finish()
