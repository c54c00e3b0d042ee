"""call: one request to a service, from the command line."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from launcher.cli.commands.bus import connected, usage
from launcher.cli.commands.route_completion import complete_methods, complete_routes
from launcher.cli.commands.shared import as_json, complete_names
from launcher.config.access_checks import CLIENT
from launcher.errors import UsageError
from launcher.plan.plan import Plan
from luabus.errors import Forbidden, NoMaster
from luabus.visible import visible_json

_NUMBER: Final = re.compile(r"-(\d|\.\d|Infinity)")


class CallCommand(click.Command):
    """A command whose arguments may be negative numbers. What else begins with a dash is an option, or a mistake."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        takes_value = {name: not option.is_flag for option in options for name in option.opts}
        is_value = False
        given: list[str] = []
        plain: list[str] = []
        for word in args[:end]:
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            if is_value:
                is_value = False
                given.append(word)
            elif not word.startswith("-") or word == "-" or _NUMBER.match(word):
                plain.append(word)  # click would take the "-t" out of "-Infinity", as of "-xt"
            elif name not in takes_value:
                raise UsageError(
                    f'call has no option "{word}"; an argument that begins with a dash stands behind "--":'
                    f" luabus-cluster call ROUTE MSG -- {word}"
                )
            else:
                is_value = takes_value[name] and word == name
                given.append(word)
        if is_value:
            return super().parse_args(ctx, given)  # which says that the value is missing
        return super().parse_args(ctx, [*given, "--", *plain, *args[end + 1 :]])


@click.command(cls=CallCommand)
@click.argument("route", shell_complete=complete_routes)
@click.argument("msg", shell_complete=complete_methods)
@click.argument("args", metavar="[JSON..]", nargs=-1)
@click.option(
    "-t", "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.001), help="Seconds to wait."
)
@click.option(
    "--as", "caller", metavar="SERVICE", shell_complete=complete_names,
    help='Call as this service, for a callee that lets in only some; without it as "client".',
)  # fmt: skip
@as_json
@click.pass_obj
def call(
    config: Path,
    route: str,
    msg: str,
    args: tuple[str, ...],
    timeout: float,
    caller: str | None,
    as_json: bool,
) -> int:
    """Call a handler of a service and print its reply as JSON.

    ROUTE is target:mail.2, hash:mail:alice, random:mail, broadcast:gateway (all replies) or master:director. Each argument is
    JSON; what is no JSON is taken as text. An error prints its type and text, exit code 1.

    Negative numbers may stand as they are; any other argument that begins with a dash stands behind "--".

    With --json the reply is in `reply`, or those of a broadcast in `replies`, beside `ok`.

    \b
    luabus-cluster call hash:mail:alice read_mail alice
    luabus-cluster call random:math add -1 2.5
    luabus-cluster call random:chat say -- --hello--
    luabus-cluster call broadcast:gateway stats
    """
    values = [_value(text) for text in args]
    is_broadcast = route.startswith("broadcast:")

    async def work() -> tuple[Any, bool]:
        async with connected(config, caller) as (bus, plan):
            names = {number: name for name, number in plan.groups.items()}
            with usage():
                target = bus.route(route)
            if not is_broadcast:
                try:
                    return await target.request(msg, *values, timeout=timeout), False
                except NoMaster as error:
                    raise _with_reason(error, plan) from None
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
    plain = _plain(answer)
    if as_json:
        plain = {"ok": not failed, "replies" if is_broadcast else "reply": plain}
    click.echo(visible_json(plain))
    return 1 if failed else 0


def _with_reason(error: NoMaster, plan: Plan) -> NoMaster:
    """The same; of a group that elects none, "now" would promise one."""
    name = next((name for name, number in plan.groups.items() if number == error.group), None)
    service = plan.config.services.get(name or "")
    if error.answered_by is not None or service is None or service.route == "master":
        return error
    return NoMaster(
        f'{name} elects no master; `route = "master"` in [services.{name}] would', **error.fields()
    )


def _with_way_in(error: Forbidden) -> Forbidden:
    """The same, and as whom it would go."""
    services = [name for name in error.allowed if name not in (CLIENT, error.caller)]
    if not services:
        return error
    return Forbidden(f"{error}; `--as {services[0]}` calls as that service", **error.fields())


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
