"""The verbs that go through the routers: routes, register, promote, call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click

import luabus
import luabus.admin
from launcher.errors import NotRunning, UsageError
from launcher.load import load
from launcher.plan import Plan, make_plan
from launcher.style import Style
from luabus.errors import LuabusError, NotConnected

OTHERS_S: Final = 0.5
"""How long the other routers are waited for when one is connected."""

logging.getLogger("luabus").addHandler(logging.NullHandler())  # what matters comes as an error


@asynccontextmanager
async def _bus(config: Path) -> AsyncIterator[tuple[luabus.Bus, Plan]]:
    """A client of the cluster's routers. Raises `NotRunning` when none answers."""
    plan = make_plan(load(config), config)
    if not plan.secret_file.exists():
        raise NotRunning(f"no cluster has run in {plan.run_dir}; `luabus-cluster up` starts it")
    try:
        async with luabus.connect(
            list(plan.routers), groups=dict(plan.groups), secret_file=str(plan.secret_file)
        ) as bus:
            await _others(bus)
            yield bus, plan
    except NotConnected as error:
        raise NotRunning(f"no router answers at {', '.join(plan.routers)}: {error}") from None


async def _others(bus: luabus.Bus) -> None:
    """The first router is connected; gives the others a moment, so that a live one is not taken for missing."""
    changed = asyncio.Event()
    bus.on_router = lambda _name, _connected: changed.set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OTHERS_S):
            while not all(router.connected for router in bus.routers):
                await changed.wait()
                changed.clear()


async def show_routes(config: Path, *, as_json: bool) -> int:
    """Prints the tables; exit code 1 when the routers do not agree."""
    from launcher.render import routes_text

    async with _bus(config) as (bus, _):
        routes = await luabus.admin.routes(bus)
    click.echo(json.dumps(routes) if as_json else routes_text(routes, Style.of(sys.stdout)))
    return 0 if routes["consistent"] else 1


async def register(
    config: Path, service_id: str, token: str, *, master: bool, router: str, as_json: bool
) -> int:
    """See the command's help."""
    value = _token(token)
    async with _bus(config) as (bus, plan):
        target = luabus.ServiceId.parse(service_id, plan.groups)
        done = await luabus.admin.register(bus, target, value, is_master=master, router=router)
    return _print_done(done, as_json)


async def promote(config: Path, name: str, *, as_json: bool) -> int:
    """See the command's help."""
    async with _bus(config) as (bus, plan):
        done = await luabus.admin.promote(bus, luabus.ServiceId.parse(name, plan.groups))
    return _print_done(done, as_json)


async def call(config: Path, route: str, msg: str, args: Sequence[str], timeout: float) -> int:
    """See the command's help."""
    values = [_value(text) for text in args]
    async with _bus(config) as (bus, _):
        target = bus.route(route)
        if not route.startswith("broadcast:"):
            click.echo(_dump(await target.request(msg, *values, timeout=timeout)))
            return 0
        replies: Mapping[Any, Any] = await target.gather(msg, *values, timeout=timeout)
        failed = any(isinstance(reply, Exception) for reply in replies.values())
        shown = {
            str(sender): _error(reply) if isinstance(reply, Exception) else reply
            for sender, reply in replies.items()
        }
        click.echo(_dump(shown))
        return 1 if failed else 0


def _token(text: str) -> int | str | None:
    if text in ("none", "own"):
        return None if text == "none" else text
    if text.isascii() and text.isdigit():
        return int(text)
    raise UsageError(f"found the token {text!r}; allowed: a number (see `routes`), 0, own, none")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON has no form for: bytes as text, times in ISO form."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _error(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}


def _print_done(done: Mapping[str, Any] | Any, as_json: bool) -> int:
    if as_json:
        click.echo(_dump(done))
    elif isinstance(done, Mapping):
        for name, what in done.items():
            click.echo(f"{name}: {what}")
    else:
        click.echo("done")
    failed = isinstance(done, Mapping) and any(
        isinstance(what, LuabusError) or what != "done" for what in done.values()
    )
    return 1 if failed else 0
