"""cluster.toml from disk to a checked `ClusterConfig`, or a `ConfigError` that lists every fault with its place."""

from __future__ import annotations

import datetime
import itertools
import os
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from launcher.config.cross_checks import faults
from launcher.config.expansion import expanded
from launcher.config.host_checks import host_faults
from launcher.config.positions import key_lines, locate
from launcher.config.schema import HOST_PATTERN, NAME_PATTERN, PREFIX_PATTERN, ClusterConfig
from launcher.config.value_checks import value_faults
from launcher.errors import ConfigError, Problem, suggest
from launcher.runtime.config_file import folder_of, read_text


def load(path: Path, *, here: bool = False) -> ClusterConfig:
    """Reads and checks the file. Raises `ConfigError` (exit code 2); nothing else was touched.

    `here`: the cluster is to run on this machine now, so `${VAR}` is filled in from this process' environment, and users and
    folders must be there.
    """
    text = read_text(path)
    data = parse(path, text)
    lines = key_lines(text)
    try:
        config = ClusterConfig.model_validate(data)
    except ValidationError as error:
        problems = [_problem(dict(item), lines) for item in error.errors()]
        raise ConfigError(str(path), sorted(_merge(problems), key=_by_line)) from None
    found = [*faults(config), *value_faults(config)]
    if here and not found:
        base = folder_of(path)
        config, found = expanded(config, path, base, os.environ)
        found = found or [*value_faults(config), *host_faults(config, base)]
    if found:
        raise ConfigError(str(path), _located(lines, found))
    return config


def problems_of(path: Path, faults: Sequence[tuple[tuple[str | int, ...], str]]) -> list[Problem]:
    """Faults by key, `(key path, text)`, each with its line, in the order of these."""
    return _located(key_lines(read_text(path)), faults)


def _located(
    lines: dict[tuple[str, ...], int], faults: Sequence[tuple[tuple[str | int, ...], str]]
) -> list[Problem]:
    problems = [Problem(_dotted(key), text, locate(lines, key)) for key, text in faults]
    return sorted(problems, key=_by_line)


def parse(path: Path, text: str) -> dict[str, Any]:
    """TOML to plain values. Raises `ConfigError` with the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        where = message.rpartition("(at line ")[2]
        number = where.split(",")[0]
        line = int(number) if number.isdigit() else None
        raise ConfigError(str(path), [Problem("", f"is not valid TOML: {message}", line)]) from None


def _problem(error: dict[str, Any], lines: dict[tuple[str, ...], int]) -> Problem:
    path = tuple(part for part in error["loc"] if not _is_union_tag(part))
    kind, context = error["type"], error.get("ctx", {})
    found = _show(error["input"])
    if kind == "extra_forbidden":
        text = f"unknown key; {_hint(path)}"
    elif kind == "missing":
        text = "is missing"
    elif kind == "literal_error":
        text = f"found {found}; allowed: {context['expected']}"
        if isinstance(error["input"], str):
            choices = [choice.strip("' ") for choice in context["expected"].replace(" or ", ", ").split(",")]
            if (hint := suggest(error["input"], choices)).code == "hint.did-you-mean":
                text = f"{text}; {hint}"
    elif kind == "value_error":
        text = str(context["error"])
    else:
        text = f"found {found}; allowed: {_allowed(kind, context) or error['msg']}"
    return Problem(_dotted(path), text, locate(lines, path))


_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": 'a text in quotes, such as "mail"',
    "list_type": "a list, such as [ ... ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

_PATTERNS = {
    NAME_PATTERN: "a letter, then letters, digits, _ and -",
    PREFIX_PATTERN: 'a path such as "/luabus", with a slash before and none after',
    HOST_PATTERN: 'a name such as "luabus.example.org", without scheme and port',
}


def _allowed(kind: str, context: dict[str, Any]) -> str:
    if kind in _KINDS:
        return _KINDS[kind]
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], '"package.module:attribute"')
    limits = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    if kind in limits:
        name = limits[kind]
        return f"{words[name]} {context[name]:g}"
    if kind == "too_long":
        return f"a list of at most {context['max_length']}"
    if kind in ("too_short", "string_too_short"):
        return f"at least {context['min_length']} of them" if kind == "too_short" else "not an empty text"
    return ""


def _merge(problems: Sequence[Problem]) -> list[Problem]:
    """One problem per key: a value that fits no member of a union is reported once per member."""
    merged: dict[str, Problem] = {}
    for problem in problems:
        first = merged.setdefault(problem.key, problem)
        if first is not problem and "; allowed: " in problem.text:
            more = problem.text.partition("; allowed: ")[2]
            if more not in first.text:
                merged[problem.key] = Problem(first.key, f"{first.text}; or {more}", first.line)
    return [problem for key, problem in merged.items() if not _said_within(key, merged)]


def _said_within(key: str, problems: Iterable[str]) -> bool:
    """Whether the fault lies in a part of it: it has one form of those allowed, and is not to be told of the others."""
    return bool(key) and any(other.startswith((f"{key}.", f"{key}[")) for other in problems)


def _by_line(problem: Problem) -> int:
    return problem.line or 0


def _is_union_tag(part: str | int) -> bool:
    return isinstance(part, str) and (
        part in ("str", "int", "constrained-int", "constrained-str") or "[" in part
    )


def _hint(path: Sequence[str | int]) -> str:
    """What was meant by a key that its table does not have: the place of that key, or another key, here or in a table below."""
    key = str(path[-1])
    if belongs := _where_it_belongs(path):
        return belongs
    hint = suggest(key, _keys_at(path[:-1]), limit=40)
    if hint.code == "hint.did-you-mean":
        return str(hint)
    below = [
        name for table, model in _tables(ClusterConfig, ()) if len(table) > 1 for name in model.model_fields
    ]
    if path[0] == "services" and suggest(key, below).code == "hint.did-you-mean":
        meant = next(name for name in below if suggest(key, [name]).code == "hint.did-you-mean")
        return f'did you mean "{meant}"? {_where_it_belongs((*path[:-1], meant))}'
    return str(hint)


def _where_it_belongs(path: Sequence[str | int]) -> str:
    """Tables that have a key of this name: the nearest of them, below or above where it was written; empty when none has."""
    key, here = str(path[-1]), path[:-1]
    service = next((str(name) for table, name in itertools.pairwise(here) if table == "services"), "NAME")
    tables = [table for table, model in _tables(ClusterConfig, ()) if key in model.model_fields]
    named = ["[" + ".".join(service if part == "*" else part for part in table) + "]" for table in tables]
    if not tables:
        return ""
    nearest = max(_common(table, here, service) for table in tables)
    near = [
        name for table, name in zip(tables, named, strict=True) if _common(table, here, service) == nearest
    ]
    if near == ["[]"]:
        return f"{key} is a table of its own: [{key}]" + (
            "" if key != "services" else f" with [services.{service}] in it"
        )
    return f"{key} belongs in {' or '.join(near)}"


def _tables(
    model: type[BaseModel], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Every table that a file may have, with its keys; `*` stands for a service's name."""
    yield path, model
    for name, field in model.model_fields.items():
        if (inner := _model_in(field.annotation)) is not None:
            yield from _tables(inner, (*path, name, "*") if name == "services" else (*path, name))


def _common(table: Sequence[str], here: Sequence[str | int], service: str) -> int:
    pairs = zip((service if part == "*" else part for part in table), map(str, here), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _keys_at(path: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = ClusterConfig
    for part in path:
        field = model.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field is not None else None
        model = inner or model  # a service's own name is no key of a model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (model := _model_in(argument)) is not None:
            return model
    return None


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
