"""What click refuses, as one sentence of ours: docs/command-line.md promises that for every error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
from click.exceptions import NoArgsIsHelpError

from launcher.errors import UsageError, suggest
from luabus.visible import visible

MOST_CHOICES: Final = 40


class VerbGroup(click.Group):
    """Verbs below a name. One that there is not is told as all errors are; see `CommandGroup` for the options."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verb, known = args[0] if args else "", self.list_commands(ctx)
        if verb and not verb.startswith("-") and verb not in known:
            place = ctx.command_path.partition(" ")[2]
            what = f'there is no verb "{verb}"; {suggest(verb, known, limit=40)}'
            raise UsageError(f"{place}: {what}" if place else what)
        return super().resolve_command(ctx, args)


def sentence_of(
    error: click.ClickException, arguments: Sequence[str] = (), group: click.Command | None = None
) -> str:
    """One line: which verb, what was found, what is allowed, and where more is said. `arguments` to `group` tell the verb where
    click does not."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context is not None else _verb_in(arguments, group)
    verb = command.partition(" ")[2]
    what = _what(error, context)
    more = "" if what.endswith("?") else f"; `{command} --help` explains it"
    return visible(f"{verb}: {what}{more}" if verb else f"{what}{more}")


def _verb_in(arguments: Sequence[str], command: click.Command | None) -> str:
    """The command these call: errors about an option's value do not know it."""
    path = "luabus-cluster"
    for word in arguments:
        if isinstance(command, click.Group) and word in command.list_commands(click.Context(command)):
            path, command = f"{path} {word}", command.get_command(click.Context(command), word)
    return path


def _what(error: click.ClickException, context: click.Context | None) -> str:
    if isinstance(error, NoArgsIsHelpError):
        group = error.ctx.command
        assert isinstance(group, click.Group)
        return f"a verb is missing; {suggest('', group.list_commands(error.ctx), limit=MOST_CHOICES)}"
    if isinstance(error, click.BadOptionUsage) and "requires an argument" in error.message:
        return f"{error.option_name} needs a value"
    if isinstance(error, click.NoSuchOption):
        return f'there is no option "{error.option_name}"; {_options(error.option_name, context)}'
    if isinstance(error, click.MissingParameter):
        name = error.param.get_error_hint(context).strip("'") if error.param is not None else "an argument"
        choices = error.param.type if error.param is not None else None
        allowed = f"; {suggest('', map(str, choices.choices))}" if isinstance(choices, click.Choice) else ""
        return f"{name} is missing{allowed}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = (
            error.param.opts[-1]
            if error.param.param_type_name == "option"
            else error.param.human_readable_name
        )
        allowed = _allowed(error.param.type)
        found = error.message.partition(" is not ")[0]
        return f"{name}: found {found}; {allowed}" if allowed else f"{name}: {_one_line(error.message)}"
    return _one_line(error.format_message())


def _allowed(kind: click.ParamType[Any]) -> str:
    """What a number may be, as all our errors say it."""
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    what = "whole numbers" if isinstance(kind, click.IntRange) else "numbers"
    bounds = (("from", kind.min), ("to", kind.max))
    said = (
        f"{word} {bound:{'' if isinstance(bound, int) else 'g'}}"
        for word, bound in bounds
        if bound is not None
    )
    return " ".join(["allowed:", what, *said])


def _options(found: str, context: click.Context | None) -> str:
    """What there is instead of an option that there is not."""
    if context is None:
        return "`--help` lists them"
    known = [
        name
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in parameter.opts
    ]
    return str(suggest(found, [name for name in known if name.startswith("--")]))


def _one_line(text: str) -> str:
    """Click's sentence, going on after a colon: without its capital letter, its full stop and its line breaks."""
    line = " ".join(text.split()).removesuffix(".")
    return line[:1].lower() + line[1:] if line[1:2].islower() else line
