"""secret: the cluster's secret, and keys that are made from it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from launcher.cli.commands.shared import as_json
from launcher.cli.identity import who
from launcher.cli.usage_errors import VerbGroup
from launcher.errors import LauncherError
from launcher.runtime.control_client import ask, find_run_dir
from launcher.runtime.secret_rotation import GRACE_S, rotate
from luabus.cluster import audit_texts
from luabus.errors import LuabusError


@click.group(cls=VerbGroup, subcommand_metavar="rotate | client")
def secret() -> None:
    """Change the cluster's secret, or make a client's key.

    The secret lies in run_dir/secret: who can read it may do everything. A service gets no more than its own key, from
    run_dir/keys.
    """


@secret.command("rotate")
@click.option(
    "--grace", default=GRACE_S, show_default=True, type=click.FloatRange(0), metavar="SECONDS",
    help="How long the old secret is accepted after the new one is in use.",
)  # fmt: skip
@as_json
@click.pass_obj
def rotate_secret(config: Path, grace: float, as_json: bool) -> int:
    """Give the cluster a new secret while it runs.

    Nobody is disconnected or restarted. May be repeated after it was interrupted: it goes on where it was. Keys that
    `secret client` made, and copies of the secret elsewhere, must be made anew.
    """
    steps: list[dict[str, str]] = []

    def tell(step: str, text: str) -> None:
        steps.append({"step": step, "text": text})
        if not as_json:
            click.echo(text)

    run_dir = find_run_dir(config)
    rotate(run_dir, tell, grace)
    with contextlib.suppress(LauncherError, LuabusError):  # no launcher, no event log
        ask(config, "note", "secret", run_dir.path.name, audit_texts.secret_changed().as_map(), who())
    if as_json:
        click.echo(json.dumps({"ok": True, "grace_s": grace, "steps": steps}))
    return 0


@secret.command()
@as_json
@click.pass_obj
def client(config: Path, as_json: bool) -> int:
    """Print a key with which a program is a client and nothing more.

    For `luabus.connect(key_file=...)` or LUABUS_KEY_FILE: it may call, and neither join nor steer.

    \b
    (umask 077; luabus-cluster secret client > client.key)
    """
    from luabus import Principal

    line = find_run_dir(config).security().key_line(Principal("client"))
    click.echo(json.dumps({"ok": True, "key": line}) if as_json else line)
    return 0
