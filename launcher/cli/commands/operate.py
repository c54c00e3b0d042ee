"""The verbs that the launcher carries out, a command for each row of the table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import Any

import click

from launcher.cli.commands.shared import (
    as_json,
    complete_names,
    names_in,
    report,
    unknown_is_usage,
    warn_of_old_keys,
)
from launcher.cli.identity import who
from launcher.errors import ConfigError, LauncherError, UsageError
from launcher.processes.exit_status import signal_number
from launcher.runtime.control_client import ask
from luabus.cluster.verbs import BY_NAME, Takes, Verb
from luabus.errors import Refused, explain
from luabus.ids import MAX_INSTANCE
from luabus.messages import Message
from luabus.visible import visible

Run = Callable[..., int]


def command_of(name: str) -> click.Command:
    """The command of a verb: its options by what it takes, its help by its code."""
    verb = BY_NAME[name]
    kinds = {Takes.NAMES: _of_names, Takes.SIGNAL: _of_signal, Takes.COUNT: _of_count, Takes.FILE: _of_file}
    run = kinds[verb.takes](verb)
    return click.command(name, help=str(Message(verb.help)))(as_json(click.pass_obj(run)))


def _of_names(verb: Verb) -> Run:
    @click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_names)
    def run(config: Path, names: tuple[str, ...], as_json: bool) -> int:
        # One request for all names: a process that is meant by two of them is touched once.
        meant = names[0] if len(names) == 1 else list(names)
        return report([_ask(config, verb.name, meant, who(wait=True), timeout=None)], as_json)

    return run


def _of_signal(verb: Verb) -> Run:
    @click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_names)
    @click.option(
        "-s", "--signal", default="SIGKILL", show_default=True, shell_complete=_complete_signals,
        help="A signal by name (HUP or SIGHUP) or number.",
    )  # fmt: skip
    def run(config: Path, names: tuple[str, ...], signal: str, as_json: bool) -> int:
        try:
            signal_number(signal)
        except ValueError as error:
            raise UsageError(str(error)) from None
        meant = names[0] if len(names) == 1 else list(names)
        return report([_ask(config, verb.name, meant, signal, who(wait=True))], as_json)

    return run


def _of_count(verb: Verb) -> Run:
    @click.argument("target", metavar="SERVICE=N", shell_complete=_complete_services)
    def run(config: Path, target: str, as_json: bool) -> int:
        service, equals, number = target.partition("=")
        if not equals or not number.isascii() or not number.isdigit():
            raise UsageError(f"found {target!r}; allowed: SERVICE=N, such as mail=5")
        if len(number) > len(str(MAX_INSTANCE)) or int(number) > MAX_INSTANCE:
            raise UsageError(f"found {number} instances; allowed: 0 to {MAX_INSTANCE}")
        return report([_ask(config, verb.name, service, int(number), who(wait=True), timeout=None)], as_json)

    return run


def _of_file(verb: Verb) -> Run:
    @click.option("--dry-run", is_flag=True, help="Only print what would be done.")
    @click.option("-y", "--yes", is_flag=True, help="Also remove services, and change where routers listen.")
    def run(config: Path, dry_run: bool, yes: bool, as_json: bool) -> int:
        warn_of_old_keys(config)

        def reload(yes: bool) -> int:
            meant = {**who(wait=True), "yes": yes}
            return report([ask(config, verb.name, dry_run, meant, timeout=None)], as_json)

        try:
            return reload(yes)
        except Refused as refused:
            if explain(refused).code == "refusal.takes-away":
                if as_json or not _on_terminal():
                    raise
                click.echo(f"luabus-cluster: {visible(str(refused))}", err=True)
                if not click.confirm("luabus-cluster: Do it?", err=True):
                    raise LauncherError("nothing was changed") from None
                return reload(True)
            from launcher.config.load import load
            from launcher.plan.plan import make_plan

            try:
                make_plan(load(config, here=True), config)
            except ConfigError:
                click.echo("luabus-cluster: nothing was changed", err=True)
                raise
            raise

    return run


def _complete_signals(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    begun = incomplete.upper()
    return [
        name
        for signal in Signals
        for name in (signal.name, signal.name.removeprefix("SIG"))
        if name.startswith(begun) and name.startswith("SIG") == begun.startswith("S")
    ]


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _complete_services(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    return [f"{name}=" for name in names_in(context, instances=False) if name.startswith(incomplete)]


def _ask(config: Path, verb: str, *args: Any, timeout: float | None = 10.0) -> dict[str, Any]:
    """As `ask`; a name that nobody has is bad usage."""
    with unknown_is_usage():
        answer: dict[str, Any] = ask(config, verb, *args, timeout=timeout)
    return answer
