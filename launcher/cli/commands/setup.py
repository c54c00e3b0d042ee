"""init and completion."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from luabus.visible import visible

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> int:
    """Write a small cluster to start from.

    That is cluster.toml, explained, and an example service. Overwrites nothing. `luabus-cluster up` in that folder runs
    it at once.
    """
    from launcher.cli.scaffold import write_starter

    for file in write_starter(folder):
        click.echo(f"wrote {visible(str(file))}")
    where = "" if folder == Path() else f"cd {visible(str(folder))} && "
    click.echo(f"next: {where}luabus-cluster up")
    return 0


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the completion script for a shell.

    It completes verbs, options, and names of services and instances.

    \b
    bash    echo 'eval "$(luabus-cluster completion bash)"' >> ~/.bashrc
    zsh     echo 'eval "$(luabus-cluster completion zsh)"' >> ~/.zshrc
    fish    luabus-cluster completion fish > ~/.config/fish/completions/luabus-cluster.fish
    """
    from click.shell_completion import get_completion_class

    from launcher.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    sys.stdout.write(found(cli, {}, "luabus-cluster", "_LUABUS_CLUSTER_COMPLETE").source() + "\n")
    return 0
