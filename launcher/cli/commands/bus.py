"""routes, call, register and promote: the verbs that go through the routers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import click

import luabus
import luabus.admin
from launcher.cli.commands.shared import as_json, complete_names, unknown_is_usage
from launcher.cli.identity import who
from launcher.cli.terminal import Style
from launcher.config.access_checks import CLIENT
from launcher.config.load import load
from launcher.errors import LauncherError, NotRunning, UsageError, suggest
from launcher.plan.plan import Plan, make_plan
from launcher.runtime.run_dir import RunDir
from luabus.cluster import audit_texts
from luabus.cluster.entries import Held, Registration
from luabus.cluster.reach import open_connection
from luabus.cluster.state import ConnectionState, of_map
from luabus.errors import AuthError, Forbidden, LuabusError, NotConnected
from luabus.messages import Message
from luabus.visible import visible, visible_json

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
        raise NotRunning(f"no router answers at {', '.join(plan.routers)}: {error}") from None
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
def _usage() -> Iterator[None]:
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
@as_json
@click.pass_obj
def routes(config: Path, as_json: bool) -> int:
    """Show the routers' routing tables, and whether they agree.

    Exit code 1: they do not."""

    async def work() -> dict[str, Any]:
        async with connected(config) as (bus, _):
            return await luabus.admin.routes(bus)

    from launcher.cli.tables import routes_text

    found = asyncio.run(work())
    click.echo(json.dumps(found) if as_json else routes_text(found, Style.of(sys.stdout)))
    return 0 if found["consistent"] else 1


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
            with _usage():
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
    click.echo(
        json.dumps(done)
        if as_json
        else "\n".join(f"{visible(name)}: {visible(what)}" for name, what in done.items())
    )
    return 0 if {*done.values()} <= {luabus.admin.DONE, luabus.admin.NOTHING} else 1


@click.command()
@click.argument("name", shell_complete=complete_names)
@as_json
@click.pass_obj
def promote(config: Path, name: str, as_json: bool) -> int:
    """Make an instance (director.2) its group's master.

    The present master hands its lease over and the epoch rises, so there are never two. Returns when the routers know.
    """

    async def work() -> tuple[dict[str, Any], str]:
        async with connected(config) as (bus, plan):
            with _usage():
                target = luabus.ServiceId.parse(name, plan.groups)
            done = await luabus.admin.promote(bus, target, by=who()["by"])
            label = target.named(bus.names)
            await _note(plan, "promote", label, audit_texts.promoted(label, done["epoch"]))
            return done, label

    done, label = asyncio.run(work())
    verb = "is now" if done["changed"] else "is already"
    click.echo(json.dumps(done) if as_json else f"{visible(label)} {verb} master (epoch {done['epoch']})")
    return 0


@click.command(context_settings=_NEGATIVE)
@click.argument("route")
@click.argument("msg")
@click.argument("args", metavar="[JSON..]", nargs=-1)
@click.option(
    "-t", "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.001), help="Seconds to wait."
)
@click.option(
    "--as", "caller", metavar="SERVICE", shell_complete=complete_names,
    help='Call as this service, for a callee that lets in only some; without it as "client".',
)  # fmt: skip
@click.pass_obj
def call(
    config: Path, route: str, msg: str, args: tuple[str, ...], timeout: float, caller: str | None
) -> int:
    """Call a handler of a service and print its reply as JSON.

    ROUTE is target:mail.2, hash:mail:alice, random:mail, broadcast:gateway (all replies) or master:director. Each argument is
    JSON; what is no JSON is taken as text. An error prints its type and text, exit code 1.

    \b
    luabus-cluster call hash:mail:alice read_mail alice
    luabus-cluster call broadcast:gateway stats
    """
    values = [_value(text) for text in args]

    async def work() -> tuple[Any, bool]:
        async with connected(config, caller) as (bus, plan):
            names = {number: name for name, number in plan.groups.items()}
            with _usage():
                target = bus.route(route)
            if not route.startswith("broadcast:"):
                return await target.request(msg, *values, timeout=timeout), False
            replies = await target.gather(msg, *values, timeout=timeout)
            failed = any(isinstance(reply, Exception) for reply in replies.values())
            return {
                sender.named(names): _error(reply) if isinstance(reply, Exception) else reply
                for sender, reply in replies.items()
            }, failed

    try:
        answer, failed = asyncio.run(work())
    except Forbidden as error:
        raise _with_way_in(error) from None
    click.echo(visible_json(_plain(answer)))
    return 1 if failed else 0


def _with_way_in(error: Forbidden) -> Forbidden:
    """The same, and as whom it would go."""
    services = [name for name in error.allowed if name not in (CLIENT, error.caller)]
    if not services:
        return error
    return Forbidden(f"{error}; `--as {services[0]}` calls as that service", **error.fields())


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


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_json, parse_float=_finite)
    except ValueError:
        return text


def _no_json(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are Python's additions: for JSON they are words


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise UsageError(f"found {text}; allowed: numbers up to 1.7e308")
    return number


def _plain(value: Any) -> Any:
    """In what JSON has a form for: bytes and numbers without end as text, times in ISO form."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _error(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}
