"""Files with `KEY=value` lines, read by the rules of docker compose's `env_file`.

    # a comment             blank lines and lines that begin with # are skipped, so is `export ` before a name
    PLAIN=value # comment   a value ends before a # that follows a blank; blanks around it are none of it
    DOUBLE="a\\n${HOME}"     \\n, \\r, \\t, \\\\, \\" and \\$ mean what they do elsewhere
    SINGLE='as $it is'      nothing means anything, but \\'
    LONE                    the launcher's own value; where it has none, nothing

`${VAR}` is filled in as in cluster.toml, except in single quotes. A quoted value may go on over lines; after it only a comment
may follow. (python-dotenv skips what it does not understand with a warning; here that is an error with its line.)
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.config.interpolation import InterpolationError, interpolate
from launcher.config.value_checks import variable_fault
from launcher.errors import ConfigError, Problem

_IGNORED: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_KEY: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*(?:=|:(?=[ \t]))[ \t]*")
_LONE: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)(?:[ \t]+#[^\n]*|[ \t]*)(?:\n|\Z)")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE: Final = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_PLAIN: Final = re.compile(r"[^\n]*")
_ESCAPED: Final = re.compile(r'\\([nrt\\"$])')
_MEANT: Final = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


def read_env_file(
    config_file: Path, key: str, path: Path, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of `path`, filled in from `environ` and those above.

    Raises `ConfigError` (for `key` of `config_file`), which shows no value.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(str(config_file), [Problem(key, f"{path} cannot be read: {reason}")]) from None
    variables: dict[str, str] = {}
    values = ChainMap(dict(environ or {}), variables)
    at = 0
    while at < len(text):
        if ignored := _IGNORED.match(text, at):
            at = max(ignored.end(), at + 1)
            continue
        number = text.count("\n", 0, at) + 1
        named = lone = _LONE.match(text, at)
        if lone is None:
            named = _KEY.match(text, at)
        if named is None:
            raise ConfigError(str(path), [Problem(key, "allowed: KEY=value, KEY, or a comment", number)])
        name = named[1]
        try:
            if (fault := variable_fault(name)) is not None:
                raise _LineError(fault)
            if lone is None:
                variables[name], at = _value(text, named.end(), values)
                continue
            if environ is not None and name in environ:
                variables[name] = environ[name]
            at = lone.end()
        except (_LineError, InterpolationError) as error:
            raise ConfigError(str(path), [Problem(f"{key}: {name}", str(error), number)]) from None
    return variables


class _LineError(Exception):
    pass


def _value(text: str, start: int, values: Mapping[str, str]) -> tuple[str, int]:
    """The value that begins at `start`, and where the next line does."""
    quote = text[start : start + 1]
    if quote not in ('"', "'"):
        plain = _PLAIN.match(text, start)
        assert plain is not None
        blank_before = text[start - 1 : start] in (" ", "\t")
        shown = plain[0] if not (plain[0].startswith("#") and blank_before) else ""
        if (comment := re.search(r"[ \t]#", shown)) is not None:
            shown = shown[: comment.start()]
        return interpolate(shown.strip(" \t\r"), values), plain.end() + 1
    quoted = (_DOUBLE if quote == '"' else _SINGLE).match(text, start)
    if quoted is None:
        raise _LineError(f"the quotation mark {quote} is not closed")
    after = _IGNORED.match(text, quoted.end())
    if after is None:
        raise _LineError(f"something follows the closing {quote}; allowed: a comment")
    if quote == "'":
        return quoted[1].replace("\\'", "'"), after.end()
    unescaped = _ESCAPED.sub(lambda escape: _MEANT.get(escape[1], escape[1]), quoted[1])
    return interpolate(unescaped, values), after.end()
