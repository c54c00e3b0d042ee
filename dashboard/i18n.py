"""Localization: the dashboard's catalogues beside luabus' English, and the choice of language by `Accept-Language`.

A text is a `Message` (code and values) until a page, an answer or a stream is written for a reader.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from luabus.messages import Message, add_catalogue, known_codes

LANGUAGES: Final = ("en", "zh")
CATALOGUES: Final = Path(__file__).parent / "static" / "locale"
"""Folder of the catalogues, one file per language, templates by code; the pages' scripts read the same files."""


def _load() -> None:
    for language in LANGUAGES:
        add_catalogue(language, json.loads((CATALOGUES / f"{language}.json").read_text("utf-8")))


_load()


class Invalid(ValueError):
    """Input that does not validate; `message` says why."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def word(name: str) -> Message:
    """Message for a state, verb, role or kind by its name, or for a code; a name without a text stays as it is."""
    code = name if "." in name else f"word.{name.replace(' ', '-')}"
    return Message(code) if code in known_codes("en") else Message.verbatim(name)


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
