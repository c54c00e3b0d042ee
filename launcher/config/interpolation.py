"""`${VAR}` in texts, in the forms of docker compose. Pure.

    ${VAR}  $VAR         the value; an error if VAR is not set
    ${VAR:-default}      the default if VAR is not set or empty       ${VAR-default}    ... if it is not set
    ${VAR:?words}        an error that says the words, likewise       ${VAR?words}
    ${VAR:+words}        the words if VAR is set and not empty        ${VAR+words}      ... if it is set
    $$                   a dollar sign

Defaults and words may have such forms in them. Any other `$` stays.

In the words of a command much of that is a shell's own: there `$VAR`, `$(...)`, `${VAR%.*}` and a `$$` that is its pid are left
to it. `$${VAR}` and `$$VAR` give `${VAR}` and `$VAR`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED_IN_COMMAND: Final = re.compile(r"[A-Za-z_{]")
_OPERATOR: Final = re.compile(r":?[-?+]")


class InterpolationError(Exception):
    """The text cannot be filled in; says why, and never a value."""


def interpolate(text: str, values: Mapping[str, str], *, command: bool = False) -> str:
    """The text with values filled in; `command`: a shell's own forms are left to it. Raises `InterpolationError`."""
    parts: list[str] = []
    done = 0
    while (at := text.find("$", done)) >= 0:
        parts.append(text[done:at])
        following = text[at + 1 : at + 2]
        if following == "$":
            parts.append("$$" if command and not _ESCAPED_IN_COMMAND.match(text, at + 2) else "$")
            done = at + 2
        elif following == "{":
            part, done = _braces(text, at, values, command)
            parts.append(part)
        elif not command and (name := _NAME.match(text, at + 1)):
            parts.append(_value(name[0], values))
            done = name.end()
        else:
            parts.append("$")
            done = at + 1
    return "".join(parts) + text[done:]


def _braces(text: str, at: int, values: Mapping[str, str], command: bool) -> tuple[str, int]:
    """What stands for the form that begins at `at`, and where the text goes on."""
    name = _NAME.match(text, at + 2)
    end = _closing(text, at + 2)
    rest = text[name.end() : end] if name is not None and end >= 0 else None
    operator = _OPERATOR.match(rest) if rest else None
    if name is None or rest is None or (rest and operator is None):
        if command:
            return "${", at + 2
        shown = text[at : end + 1] if end >= 0 else "${"
        raise InterpolationError(
            f"{shown} is no form that can be filled in; allowed: ${{VAR}}, ${{VAR:-default}}, ${{VAR:?error}}, and $$ for a $"
        )
    if operator is None:
        return _value(name[0], values, command=command), end + 1
    value = values.get(name[0])
    is_there = bool(value) if operator[0].startswith(":") else value is not None
    words = rest[operator.end() :]
    kind = operator[0][-1]
    if kind == "+":
        return interpolate(words, values, command=command) if is_there else "", end + 1
    if is_there:
        return value or "", end + 1
    if kind == "?":
        said = interpolate(words, values, command=command)
        raise InterpolationError(f"{name[0]} is not set: {said}" if said else f"{name[0]} is not set")
    return interpolate(words, values, command=command), end + 1


def _value(name: str, values: Mapping[str, str], *, command: bool = False) -> str:
    value = values.get(name)
    if value is None:
        escape = f"$${{{name}}} leaves it to a shell" if command else "$$ is a dollar sign"
        raise InterpolationError(f"{name} is not set; ${{{name}:-default}} gives a default, {escape}")
    return value


def _closing(text: str, start: int) -> int:
    """Where the brace is closed that was opened before `start`; -1: nowhere."""
    depth = 1
    for index in range(start, len(text)):
        if text[index] == "{" and text[index - 1] == "$":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return -1
