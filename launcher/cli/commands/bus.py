"""routes, connections, register, promote and close: the verbs that go through the routers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import click

import luabus
import luabus.admin
from launcher.cli.commands.shared import (
    as_json,
    complete_names,
    complete_services,
    unknown_is_usage,
)
from launcher.cli.identity import who
from launcher.cli.terminal import Style
from launcher.config.load import load
from launcher.errors import LauncherError, NotRunning, UsageError, suggest
from launcher.plan.plan import Plan, make_plan
from launcher.runtime.run_dir import RunDir
from luabus.cluster import audit_texts
from luabus.cluster.entries import Held, Registration
from luabus.cluster.reach import open_connection
from luabus.cluster.state import ConnectionState, of_map
from luabus.errors import AuthError, LuabusError, NotConnected
from luabus.messages import Message
from luabus.visible import visible

OTHERS_S: Final = 0.5
"""How long the other routers are waited for when one is connected."""

REFUSED_S: Final = 1.0
"""How long an address may take to refuse a connection."""

logging.getLogger("luabus").addHandler(logging.NullHandler())  # what matters comes as an error


@asynccontextmanager
async def connected(config: Path, caller: str | None = None) -> AsyncIterator[tuple[luabus.Bus, Plan]]:
    """A client of the cluster's routers: an administrator, or with the key of the service `caller`. Raises `NotRunning` when none
    answers, `UsageError` when there is no such service."""
    plan = make_plan(load(config), config)
    if not plan.secret_file.exists():
        raise NotRunning(f"no cluster has run in {plan.run_dir}; `luabus-cluster up` starts it")
    if await _nobody_listens(plan):
        raise NotRunning(
            f"no router answers at {', '.join(plan.routers)}, and there is no launcher; `luabus-cluster up` starts it"
        )
    bus = luabus.Bus()
    try:
        security = RunDir(plan.run_dir).security(_principal(plan, caller))
        await bus.start(plan.routers, groups=plan.groups, security=security)
        await bus.ready()
        await _others(bus)
        yield bus, plan
    except AuthError as error:
        raise LauncherError(
            f"the routers at {', '.join(plan.routers)} have another secret than {plan.secret_file}; "
            f"do they belong to another cluster? ({error})"
        ) from None
    except NotConnected as error:
        if error.answered_by is not None:
            raise  # it is a service that has none
        raise NotRunning(str(error)) from None
    finally:
        await bus.close()


def _principal(plan: Plan, caller: str | None) -> luabus.Principal:
    if caller is None:
        return luabus.Principal("admin")
    if caller == "client":
        return luabus.Principal("client")
    names = [*plan.config.services, "dashboard"]
    if caller not in names:
        raise UsageError(f'there is no service "{caller}"; {suggest(caller, ["client", *names], limit=40)}')
    return luabus.Principal("service", caller)


@contextmanager
def usage() -> Iterator[None]:
    """What is no id or no route, or names a group that nobody has, is found out before anything is sent: bad usage."""
    try:
        yield
    except LuabusError as error:
        raise UsageError(str(error)) from None


async def _nobody_listens(plan: Plan) -> bool:
    """True when there is no launcher and each router's address refuses: nobody is about to start, nothing to wait for."""
    if RunDir(plan.run_dir).read_control() is not None:
        return False
    section = plan.config.routers
    for port in range(section.port, section.port + section.count):
        try:
            async with asyncio.timeout(REFUSED_S):
                _, writer = await open_connection(section.host, port, REFUSED_S)
        except ConnectionRefusedError:
            continue
        except OSError:  # also a timeout: somebody may be there
            return False
        writer.close()
        return False
    return True


async def _others(bus: luabus.Bus) -> None:
    """The first router is connected; gives the others a moment, so that a live one is not taken for missing."""
    changed = asyncio.Event()
    bus.on_router(lambda _name, _connected: changed.set())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OTHERS_S):
            while not all(router.connected for router in bus.routers):
                await changed.wait()
                changed.clear()


@click.command()
@click.argument("groups", metavar="[GROUP..]", nargs=-1, shell_complete=complete_services)
@as_json
@click.pass_obj
def routes(config: Path, groups: tuple[str, ...], as_json: bool) -> int:
    """Show the routers' routing tables, and whether they agree.

    With GROUPs (names or numbers), only these. Exit code 1: the routers do not agree.

    \b
    luabus-cluster routes
    luabus-cluster routes mail --json
    """

    async def work() -> dict[str, Any]:
        async with connected(config) as (bus, _):
            return await luabus.admin.routes(bus)

    from launcher.cli.tables import routes_text

    found = asyncio.run(work())
    if groups:
        found = _of_groups(found, groups)
    answer = {"ok": found["consistent"], **found}
    click.echo(json.dumps(answer) if as_json else routes_text(found, Style.of(sys.stdout)))
    return 0 if answer["ok"] else 1


def _of_groups(found: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """The tables without the other groups. They agree when they agree about these."""
    known = {name for router in found["routers"] for group in router["groups"] for name in _names_of(group)}
    for name in wanted:
        if name not in known:
            names = [name for name in known if not name.isdigit()]
            raise UsageError(f'there is no group "{name}"; {suggest(name, names)}')
    routers = [
        {**router, "groups": [group for group in router["groups"] if _names_of(group) & {*wanted}]}
        for router in found["routers"]
    ]
    return {**found, **luabus.admin.of_tables(routers)}


def _names_of(group: dict[str, Any]) -> set[str]:
    return {str(group["group"]), *([str(group["name"])] if group["name"] else [])}


@click.command()
@as_json
@click.pass_obj
def connections(config: Path, as_json: bool) -> int:
    """Show the routers' connections: who, from where, how fast, how much.

    A row for each connection of each router. `close` ends one, by its router and token.
    """

    async def work() -> list[dict[str, Any]]:
        async with connected(config) as (bus, _):
            return await luabus.admin.connections(bus)

    from launcher.cli.tables import connections_text

    rows = asyncio.run(work())
    click.echo(
        json.dumps({"ok": True, "connections": rows})
        if as_json
        else connections_text(rows, Style.of(sys.stdout))
    )
    return 0


@click.command()
@click.argument("router")
@click.argument("token", type=click.IntRange(1))
@as_json
@click.pass_obj
def close(config: Path, router: str, token: int, as_json: bool) -> int:
    """End a connection of a router, by its token there (see `connections`).

    A luabus process connects again at once; what was in flight is lost with the old connection.

    \b
    luabus-cluster close router.1 17
    """

    async def work() -> str:
        async with connected(config) as (bus, plan):
            with unknown_is_usage():
                name = await luabus.admin.close_connection(bus, router, token)
            await _note(plan, "close", name, audit_texts.closed(name, router))
            return name

    name = asyncio.run(work())
    text = f"the connection of {name} at {router} is closed"
    click.echo(json.dumps({"ok": True, "text": text, "name": name}) if as_json else visible(text))
    return 0


# An id or a JSON value may begin with a minus sign.
_NEGATIVE = {"ignore_unknown_options": True}


@click.command(context_settings=_NEGATIVE)
@click.argument("service_id", metavar="ID", shell_complete=complete_names)
@click.argument("token", metavar="TOKEN|none")
@click.option("--master", is_flag=True, help="It is its group's master, until the lease says otherwise.")
@click.option("--router", default="*", show_default=True, help="Only at this router.")
@as_json
@click.pass_obj
def register(config: Path, service_id: str, token: str, master: bool, router: str, as_json: bool) -> int:
    """Change a routing entry by hand. ID is 2.1 or mail.1.

    TOKEN is a stream of the router (see `routes`), 0 for a vacancy (it is expected, and has no keys), `own` for the connection
    that says it has this id, or `none` to remove the entry.

    \b
    luabus-cluster register mail.3 none     nobody is sent to mail.3 any more
    luabus-cluster register mail.3 own      and now again
    """
    value = _token(token)

    async def work() -> dict[str, str]:
        async with connected(config) as (bus, plan):
            with usage():
                target = luabus.ServiceId.parse(service_id, plan.groups)
            whose = ""
            if isinstance(value, int) and value > 0:
                rows = await luabus.admin.connections(bus)
                whose = audit_texts.whose([of_map(ConnectionState, row) for row in rows], value, router)
            with unknown_is_usage():
                done = await luabus.admin.register(bus, target, value, is_master=master, router=router)
            name = target.named(bus.names)
            told = audit_texts.registered(
                Registration(str(target), value, router, master), name, whose, results=done
            )
            await _note(plan, "register", name, told)
            return done

    done = asyncio.run(work())
    ok = {*done.values()} <= {luabus.admin.DONE, luabus.admin.NOTHING}
    lines = [f"{name}: {what}" for name, what in done.items()]
    click.echo(
        json.dumps({"ok": ok, "text": "; ".join(lines), "routers": done})
        if as_json
        else "\n".join(map(visible, lines))
    )
    return 0 if ok else 1


@click.command()
@click.argument("name", shell_complete=complete_names)
@as_json
@click.pass_obj
def promote(config: Path, name: str, as_json: bool) -> int:
    """Make an instance (director.2) its group's master.

    The present master hands its lease over and the epoch rises, so there are never two. Returns when the routers know.

    \b
    luabus-cluster promote director.2
    """

    async def work() -> tuple[dict[str, Any], str]:
        async with connected(config) as (bus, plan):
            with usage():
                target = luabus.ServiceId.parse(name, plan.groups)
            done = await luabus.admin.promote(bus, target, by=who()["by"])
            label = target.named(bus.names)
            await _note(plan, "promote", label, audit_texts.promoted(label, done["epoch"]))
            return done, label

    done, label = asyncio.run(work())
    verb = "is now" if done["changed"] else "is already"
    text = f"{label} {verb} master (epoch {done['epoch']})"
    click.echo(json.dumps({"ok": True, "text": text, **done}) if as_json else visible(text))
    return 0


async def _note(plan: Plan, verb: str, name: str, message: Message) -> None:
    """Into the launcher's event log, if there is a launcher: routers run without one as well."""
    from launcher.runtime.control_client import Control

    with contextlib.suppress(LauncherError, LuabusError):
        async with Control(RunDir(plan.run_dir)) as control:
            await control.request("note", verb, name, message.as_map(), who())


def _token(text: str) -> Held:
    if text == "none":
        return None
    if text == "own":
        return "own"
    if text.isascii() and text.isdigit():
        return int(text)
    raise UsageError(f"found the token {text!r}; allowed: a number (see `routes`), 0, own, none")
