"""`KEY=value` files: comments, blank lines, `export`, and values in single or double quotes. No expansion."""

from __future__ import annotations

import re
from pathlib import Path

from launcher.config.value_checks import variable_fault
from launcher.errors import ConfigError, Problem

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_env_file(config_file: Path, key: str, path: Path) -> dict[str, str]:
    """The variables of `path`. Raises `ConfigError` (for `key` of `config_file`), without showing any value."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(str(config_file), [Problem(key, f"{path} cannot be read: {reason}")]) from None
    variables: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):  # other line breaks may be a value's own
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise ConfigError(str(path), [Problem(key, "allowed: KEY=value, or a comment", number)])
        if (fault := variable_fault(match[1])) is not None:
            raise ConfigError(str(path), [Problem(f"{key}: {match[1]}", fault, number)])
        variables[match[1]] = _unquote(match[2])
    return variables


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
