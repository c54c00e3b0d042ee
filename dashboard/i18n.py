"""Sentences that are written once and read in several languages.

A `Text` is a template and its values. Its English form is `str(text)`; `text.to("zh")` looks the template up in
`static/locale/zh.json`, whose keys are the English templates. Pure but for reading the catalogues once, at import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from luabus.errors import Refused

LANGUAGES: Final = ("en", "zh")


def _catalogues() -> dict[str, dict[str, str]]:
    folder = Path(__file__).parent / "static" / "locale"
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


CATALOGUES: Final[Mapping[str, Mapping[str, str]]] = _catalogues()


class Text:
    """`Text("{name} runs", name="mail.1")`. Values may be texts themselves."""

    __slots__ = ("template", "values")

    def __init__(self, template: str, /, **values: Any) -> None:
        self.template = template
        self.values = values

    def to(self, language: str) -> str:
        template = CATALOGUES.get(language, {}).get(self.template, self.template)
        if not self.values:
            return template  # it may be somebody's own words, with braces in them
        values = {k: v.to(language) if isinstance(v, Text) else v for k, v in self.values.items()}
        return template.format(**values)

    def __str__(self) -> str:
        return self.to("en")

    def __repr__(self) -> str:
        return f"Text({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.template, self.values) == (other.template, other.values)

    def __hash__(self) -> int:
        return hash((self.template, tuple(sorted((k, str(v)) for k, v in self.values.items()))))

    def packed(self) -> dict[str, Any]:
        """As JSON can carry it."""
        values = {k: v.packed() if isinstance(v, Text) else v for k, v in self.values.items()}
        return {"template": self.template, "values": values}


def unpacked(said: Any) -> Text | None:
    """The text that `packed` gave, or that this is already; None for anything else."""
    if isinstance(said, Text):
        return said
    try:
        nested = {k: unpacked(v) if isinstance(v, dict) else v for k, v in said["values"].items()}
        template = str(said["template"])
        text = Text(template, **nested)
        str(text)
    except (TypeError, KeyError, AttributeError, LookupError, ValueError):
        return None
    return text


def recognised(text: str, templates: Iterable[str]) -> Text:
    """The text as one of these templates with its values, when it is one; so it can be said in other languages. Otherwise as it
    is: somebody else's words stay his."""
    for template in templates:
        found = _pattern(template).fullmatch(text)
        if found:
            return Text(template, **found.groupdict())
    return Text(text)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", template)
    fixed, names = parts[::2], parts[1::2]
    groups = [f"(?P<{name}>.+?)" for name in names]
    return re.compile(
        "".join(re.escape(one) + group for one, group in zip(fixed, [*groups, ""], strict=True)), re.DOTALL
    )


REASONS: Final = (
    "LUABUS_CONTROL is not set, so processes can neither be seen nor steered",
    "{path} does not exist: no launcher runs",
    "{path} cannot be read: {error}",
    "it answers in a way that this dashboard does not understand",
)
"""Why the launcher does not answer, as far as it is the dashboard that says so."""


def reason(why: str) -> Text:
    """Why the launcher does not answer."""
    return recognised(why, REASONS)


class Invalid(ValueError):
    """What came in does not fit; `said` says why."""

    def __init__(self, said: Text) -> None:
        super().__init__(str(said))
        self.said = said


class RefusedWithMessage(Refused):
    """Refused by the dashboard itself, as the routers would; `said` says why."""

    def __init__(self, said: Text) -> None:
        super().__init__(str(said))
        self.said = said


def choose_language(accept: str) -> str:
    """The language for an `Accept-Language` header: the first known one by quality; English when none is."""
    ranked: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept.split(",")[:20]):
        tag, _, parameter = part.strip().partition(";")
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            quality = 0.0
        ranked.append((-quality, position, tag.split("-")[0].lower()))
    return next((tag for quality, _, tag in sorted(ranked) if quality < 0 and tag in LANGUAGES), "en")
