"""What is told, as a code and its values: an event, an alarm, a refusal, a finding. Text is made of it at the edge.

Between parts travels `{"code": "process.crashed", "values": {"name": "mail.1", ...}}`; nobody reads a sentence back. The
English templates of what luabus and the launcher say lie in `messages.en.json`, keyed by code; whoever speaks more languages,
or has codes of its own, adds catalogues.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from luabus.visible import visible

ENGLISH: Final = "en"
VERBATIM: Final = "text"
"""The code of words that are somebody else's, and stay as they are: a handler's error, an operating system's reason."""

_MAX_DEPTH: Final = 8
_added: dict[str, dict[str, str]] = {}


class Message:
    """`Message("health.router-silent", router="router.1")`.

    Values are what JSON can carry, or messages themselves, or lists of messages (told one after the other, with "; " between).
    They may be others' words: the text is one line, and no terminal obeys it (`visible`).
    """

    __slots__ = ("code", "values")

    def __init__(self, code: str, /, **values: Any) -> None:
        self.code = code
        self.values = values

    @classmethod
    def verbatim(cls, text: str) -> Message:
        """Somebody else's words."""
        return cls(VERBATIM, text=text)

    def to(self, language: str) -> str:
        """The text in a language; in English where that has none."""
        template = _template(self.code, language)
        if template is None:
            return self._without_template(language)
        return template.format_map(_Spoken(self.values, language)) if self.values else template

    def __str__(self) -> str:
        return self.to(ENGLISH)

    def __repr__(self) -> str:
        values = "".join(f", {name}={value!r}" for name, value in self.values.items())
        return f"Message({self.code!r}{values})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (self.code, self.values) == (other.code, other.values)

    def __hash__(self) -> int:
        return hash((self.code, tuple(sorted((name, str(value)) for name, value in self.values.items()))))

    def as_map(self) -> dict[str, Any]:
        """As JSON and msgpack can carry it."""
        return {"code": self.code, "values": {name: _plain(value) for name, value in self.values.items()}}

    def _without_template(self, language: str) -> str:
        """Of a newer peer's code the values are told all the same."""
        if self.code == VERBATIM:
            return visible(str(self.values.get("text", "")))
        values = ", ".join(f"{name}={_spoken(value, language)}" for name, value in self.values.items())
        return visible(f"{self.code} ({values})" if values else self.code)


def of_map(value: Any, depth: int = 0) -> Message | None:
    """The message that `as_map` gave, or that this is already; None for anything else."""
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return None
    code, values = value.get("code"), value.get("values")
    if (
        not isinstance(code, str)
        or not isinstance(values, Mapping)
        or not all(isinstance(name, str) for name in values)
    ):
        return None
    return Message(code, **{name: _unplain(item, depth + 1) for name, item in values.items()})


def add_catalogue(language: str, templates: Mapping[str, str]) -> None:
    """More texts by code, such as another language's."""
    _added.setdefault(language, {}).update(templates)


def known_codes(language: str) -> frozenset[str]:
    """Every code that has a text in this language."""
    own = _english() if language == ENGLISH else {}
    return frozenset(own) | frozenset(_added.get(language, {}))


@cache
def _english() -> Mapping[str, str]:
    templates: Mapping[str, str] = json.loads(Path(__file__).with_name("messages.en.json").read_text("utf-8"))
    return templates


def _template(code: str, language: str) -> str | None:
    if code == VERBATIM:
        return None
    template = _added.get(language, {}).get(code)
    if template is None and language != ENGLISH:
        template = _added.get(ENGLISH, {}).get(code)
    return _english().get(code) if template is None else template


class _Spoken(dict[str, Any]):
    """The values of a template, in a language; one that is missing is shown by its name."""

    def __init__(self, values: Mapping[str, Any], language: str) -> None:
        super().__init__({name: _spoken(value, language) for name, value in values.items()})

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def _spoken(value: Any, language: str) -> Any:
    if isinstance(value, Message):
        return value.to(language)
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(item, Message) for item in value) else ", "
        return separator.join(str(_spoken(item, language)) for item in value)
    if value is None or isinstance(value, int | float):
        return value
    return visible(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.as_map()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _unplain(value: Any, depth: int) -> Any:
    message = of_map(value, depth)
    if message is not None:
        return message
    if isinstance(value, list | tuple) and depth <= _MAX_DEPTH:
        return [_unplain(item, depth + 1) for item in value]
    return value
