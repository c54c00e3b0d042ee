"""The reader's language: the dashboard's own catalogues beside luabus' English, and which of them a browser asks for.

Everything that is told is a `Message` (code and values) until a page, an answer or a stream is written for somebody.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from luabus.messages import Message, add_catalogue, known_codes

LANGUAGES: Final = ("en", "zh")
CATALOGUES: Final = Path(__file__).parent / "static" / "locale"
"""A file per language, templates by code; the scripts in the pages read the same ones."""


def _load() -> None:
    for language in LANGUAGES:
        add_catalogue(language, json.loads((CATALOGUES / f"{language}.json").read_text("utf-8")))


_load()


class Invalid(ValueError):
    """What came in does not fit; `message` says why."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def word(name: str) -> Message:
    """A state, verb, role or kind by its name, or any text by its code; what has no text stays as it is."""
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
