"""The command line: `luabus-cluster [-c cluster.toml] VERB`. Which verbs there are; what each does is in its module.

    0    done, or healthy
    1    failed, degraded, or the answer could not be written
    2    bad usage or configuration; a name that no process, service, group or router has is bad usage
    3    not running
    130  Ctrl-C

With `--json` an error is an answer, too (`cli/answers.py`), and the sentence is on stderr as always.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

import click

from launcher.cli.usage_errors import VerbGroup
from launcher.runtime.config_file import meant
from luabus.cluster.verbs import Takes, launchers

STEERING: Final = tuple(verb.name for verb in launchers() if verb.takes is not Takes.NOTHING)
"""The verbs of the table but `down`, which waits for the end of it all."""

SECTIONS: Final = {
    "Starting and stopping": ("up_down", ("up", "down")),
    "Looking": ("observe", ("status", "top", "logs", "events", "check", "token")),
    "Steering a running cluster": ("operate", STEERING),
    "Developing": ("develop", ("run", "env")),
    "Calling a service": ("call", ("call",)),
    "At the routers": ("bus", ("routes", "connections", "register", "promote", "close")),
    "Setting up": ("setup", ("init", "completion")),
    "Keys": ("secret", ("secret",)),
    "Masters": ("lease", ("lease",)),
}
"""Heading -> the module in `launcher.commands` that has these verbs."""

_FUNCTIONS: Final = {"run": "run_instance"}
"""Verbs whose function cannot be called as they are."""

_MODULES: Final = {verb: module for module, verbs in SECTIONS.values() for verb in verbs}


class CommandGroup(VerbGroup):
    """A group whose verbs are imported when they are used: none should wait for what it does not need.

    Each verb takes -c as well, behind it: who forgot it in front need not type the line anew.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"launcher.cli.commands.{_MODULES[cmd_name]}")
        command: click.Command = (
            module.command_of(cmd_name)
            if cmd_name in STEERING
            else getattr(module, _FUNCTIONS.get(cmd_name, cmd_name))
        )
        _take_config(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, (_, verbs) in SECTIONS.items():
            with formatter.section(heading):
                commands = [(verb, self.get_command(ctx, verb)) for verb in verbs]
                formatter.write_dl(
                    [(verb, c.get_short_help_str(72)) for verb, c in commands if c is not None]
                )


def _take_config(command: click.Command) -> None:
    """Adds -c to a verb, and to those below it, if it is not there yet."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _take_config(inner)
    elif not any("--config" in parameter.opts for parameter in command.params):
        command.params.append(
            click.Option(
                ["-c", "--config"],
                hidden=True,
                expose_value=False,
                type=click.Path(path_type=Path),
                callback=_use_config,
            )
        )


def _use_config(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is not None:
        context.obj = meant(file)


@click.group(
    cls=CommandGroup,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-c", "--config", "config", type=click.Path(path_type=Path), default=Path("cluster.toml"), show_default=True,
    envvar="LUABUS_CLUSTER_FILE", show_envvar=True, help="The cluster's configuration file.",
)  # fmt: skip
@click.version_option(package_name="luabus", prog_name="luabus-cluster")
@click.pass_context
def cli(context: click.Context, config: Path) -> None:
    """Runs and supervises a cluster of services, its routers and its dashboard.

    \b
    luabus-cluster init demo && cd demo     a small cluster to start from
    luabus-cluster up                       start it here; Ctrl-C stops it
    luabus-cluster up -d                    or start it and get the prompt back
    luabus-cluster status                   who runs, who is ready, who is master
    luabus-cluster logs -f mail             follow what a service prints
    luabus-cluster restart mail             one instance after the other
    luabus-cluster down                     stop everything, in reverse order

    NAME is a service (mail: all its instances) or one instance (mail.2). Every verb that prints state has --json.

    \b
    Exit codes:
    0    done, or healthy
    1    failed, degraded, or the answer could not be written
    2    bad usage or configuration; a name that nobody has is bad usage
    3    not running
    130  Ctrl-C
    """
    context.obj = meant(config)
