"""run and env: one instance in one's own terminal."""

from __future__ import annotations

import json
from pathlib import Path

import click

from launcher.cli.commands.shared import as_json, complete_names, unknown_is_usage


@click.command("run")
@click.argument("name", shell_complete=complete_names)
@click.option("--keep-stopped", is_flag=True, help="Leave the place empty afterwards, until `start`.")
@click.pass_obj
def run_instance(config: Path, name: str, keep_stopped: bool) -> int:
    """Run an instance in this terminal, in place of the supervised one.

    The supervised one is stopped. This one has its environment and folder as cluster.toml says now, this terminal's stdin and
    output, and nobody judges it: no probe, no restart, and routers wait for it while it stands at a breakpoint(). Callers wait as
    long as their time-outs.

    Ctrl-C ends it; its exit code is that of `run`. At its end, also when this terminal is closed or killed, the supervised one is
    started again.

    \b
    luabus-cluster run chat.2                   with breakpoint() in a handler: pdb, here
    luabus-cluster run chat.2 --keep-stopped    and afterwards nobody is chat.2
    """
    from launcher.cli.foreground_run import run_here

    with unknown_is_usage():
        return run_here(config, name, keep_stopped=keep_stopped)


@click.command()
@click.argument("name", shell_complete=complete_names)
@click.option("--export", is_flag=True, help="With `export` before each line.")
@as_json
@click.pass_obj
def env(config: Path, name: str, export: bool, as_json: bool) -> int:
    """Print the environment that a process is given.

    As lines that a shell can read. What it inherits from the launcher's own environment is left out; secrets are paths of files.
    Works while the cluster is stopped, too.

    \b
    luabus-cluster env chat.1
    set -a; . <(luabus-cluster env chat.1); python -m pdb -m luabus run chat:service
    """
    from launcher.cli.foreground_run import find_spec, shell_lines

    _, spec = find_spec(config, name)
    if as_json:
        click.echo(
            json.dumps(
                {"ok": True, "name": spec.name, "env": dict(sorted(spec.env.items())), "cwd": spec.cwd}
            )
        )
    else:
        click.echo("\n".join(shell_lines(spec.env, export=export)))
    return 0
