"""Sentences that are written once and read in several languages.

A `Text` is a template and its values. Its English form is `str(text)`; `text.to("zh")` looks the template up in
`static/locale/zh.json`, whose keys are the English templates. Pure but for reading the catalogues once, at import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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
