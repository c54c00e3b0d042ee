"""What the verbs share: the --json option, who asks, names that the shell completes, and how a report is printed."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from launcher.cli.terminal import Style
from launcher.config.old_keys import warning
from launcher.errors import UsageError
from luabus.errors import Refused, explain
from luabus.visible import visible, visible_values

UNKNOWN: Final = frozenset(
    {"refusal.no-such-process", "refusal.no-such-service", "refusal.no-such-signal", "refusal.no-such-router"}
)
"""Codes of refusals of a name that nobody has."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@contextmanager
def unknown_is_usage() -> Iterator[None]:
    """A name that nobody has is bad usage, whoever found it out."""
    try:
        yield
    except Refused as error:
        reported = explain(error)
        if reported.code in UNKNOWN:
            raise UsageError(str(error), reported) from None
        raise


def report(reports: list[dict[str, Any]], as_json: bool) -> int:
    """Prints what verbs did; the exit code."""
    ok = all(one["ok"] for one in reports)
    if as_json:  # states are for programs, sentences for people
        answers = [{key: value for key, value in one.items() if key != "sentences"} for one in reports]
        click.echo(json.dumps(answers[0] if len(answers) == 1 else answers))
        return 0 if ok else 1
    style = Style.of(sys.stdout)
    for one in visible_values(reports):
        if one["text"]:
            text = one["text"]
            click.echo(text if one["ok"] else style(text, "red"))
        sentences = one.get("sentences", {})
        for name, state in one["processes"].items():
            click.echo(style.as_state(state, sentences.get(name) or f"{name} is {state}"))
    return 0 if ok else 1


def warn_of_old_keys(file: Path) -> None:
    """One line on stderr where the file has keys that are without effect."""
    line = warning(file)
    if line is not None:
        click.echo(visible(line), err=True)


def complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Services and instances of the file, for the shell. Nothing when it cannot be read."""
    return [name for name in names_in(context, instances=True) if name.startswith(incomplete)]


def complete_services(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Services of the file, for the shell."""
    return [name for name in names_in(context, instances=False) if name.startswith(incomplete)]


def names_in(context: click.Context, *, instances: bool) -> list[str]:
    """Names of services, and if asked of their instances, routers and the dashboard; read without any check."""
    root = context.find_root()
    file = root.obj or root.params.get("config") or Path("cluster.toml")
    try:
        data = tomllib.loads(Path(file).read_text("utf-8-sig"))
        services = {name: int(keys.get("instances", 1)) for name, keys in data.get("services", {}).items()}
        routers = int(data.get("routers", {}).get("count", 2))
    except (OSError, ValueError, AttributeError, TypeError):
        return []
    if not instances:
        return list(services)
    everyone = {**services, "router": routers}
    return [
        *everyone,
        "dashboard",
        *(f"{name}.{n}" for name, count in everyone.items() for n in range(1, count + 1)),
    ]
