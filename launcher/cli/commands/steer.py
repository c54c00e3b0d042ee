"""start, stop, restart, kill, scale and reload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from launcher.cli.commands.shared import as_json, complete_names, names_in, report, unknown_is_usage
from launcher.cli.identity import who
from launcher.errors import ConfigError, UsageError
from launcher.processes.exit_status import signal_number
from launcher.runtime.control_client import ask
from luabus.errors import Refused
from luabus.ids import MAX_INSTANCE

names = click.argument("name", nargs=-1, required=True, shell_complete=complete_names)


@click.command()
@names
@as_json
@click.pass_obj
def start(config: Path, name: tuple[str, ...], as_json: bool) -> int:
    """Start what is stopped or has failed.

    Returns when it is ready. The count of its crashes begins anew. Exit code 1: it did not come up.
    """
    return _each(config, "start", name, as_json)


@click.command()
@names
@as_json
@click.pass_obj
def stop(config: Path, name: tuple[str, ...], as_json: bool) -> int:
    """Stop services or instances.

    They stay stopped until `start`. Returns when nothing of them lives, grandchildren included.
    """
    return _each(config, "stop", name, as_json)


@click.command()
@names
@as_json
@click.pass_obj
def restart(config: Path, name: tuple[str, ...], as_json: bool) -> int:
    """Restart, one instance at a time.

    The next only when the one before is ready again. When one does not come back the rest is not touched, and the exit
    code is 1.
    """
    return _each(config, "restart", name, as_json)


@click.command()
@click.argument("name", shell_complete=complete_names)
@click.option("-s", "--signal", default="SIGKILL", show_default=True, help="A signal by name or number.")
@as_json
@click.pass_obj
def kill(config: Path, name: str, signal: str, as_json: bool) -> int:
    """Send a signal to a process (not to its children).

    What comes after is up to its restart policy: by default it is started again.
    """
    try:
        signal_number(signal)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return report([_ask(config, "kill", name, signal, who(wait=True))], as_json)


def _complete_services(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    return [f"{name}=" for name in names_in(context, instances=False) if name.startswith(incomplete)]


@click.command()
@click.argument("target", metavar="SERVICE=N", shell_complete=_complete_services)
@as_json
@click.pass_obj
def scale(config: Path, target: str, as_json: bool) -> int:
    """Change a service's number of instances: 0 to 65535.

    Those that run on are not touched. Hash slots stay as configured, so an instance beyond them takes every route but
    hash. The number holds until the cluster is stopped, or until `reload` finds another one in the file.
    """
    service, equals, number = target.partition("=")
    if not equals or not number.isascii() or not number.isdigit():
        raise UsageError(f"found {target!r}; allowed: SERVICE=N, such as mail=5")
    if len(number) > len(str(MAX_INSTANCE)) or int(number) > MAX_INSTANCE:
        raise UsageError(f"found {number} instances; allowed: 0 to {MAX_INSTANCE}")
    return report([_ask(config, "scale", service, int(number), who(wait=True), timeout=None)], as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@as_json
@click.pass_obj
def reload(config: Path, dry_run: bool, as_json: bool) -> int:
    """Apply the changed cluster.toml.

    Starts what is new, stops what is gone, restarts what changed one instance at a time. What did not change is left
    alone; `--dry-run` tells which keys make a difference for whom. A file with a fault changes
    nothing; its exit code is 2.
    """
    try:
        return report([ask(config, "reload", dry_run, who(wait=True), timeout=None)], as_json)
    except Refused:
        from launcher.config.load import load
        from launcher.plan.plan import make_plan

        try:
            make_plan(load(config, here=True), config)
        except ConfigError:
            click.echo("nothing was changed", err=True)
            raise
        raise


def _each(config: Path, verb: str, names: tuple[str, ...], as_json: bool) -> int:
    """One request for all names: a process that is meant by two of them is touched once."""
    asked = names[0] if len(names) == 1 else list(names)
    return report([_ask(config, verb, asked, who(wait=True), timeout=None)], as_json)


def _ask(config: Path, verb: str, *args: Any, timeout: float | None = 10.0) -> dict[str, Any]:
    """As `ask`; a name that nobody has is bad usage."""
    with unknown_is_usage():
        answer: dict[str, Any] = ask(config, verb, *args, timeout=timeout)
    return answer
