"""Text of unknown origin, made harmless: it stays in its line, and no terminal obeys it.

What others may choose (names, errors, values, logs, files' names) can hold line breaks, which forge a line of a log, control
characters, which drive a terminal, and marks that turn the direction of writing round. Whoever shows such text shows `visible` of
it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_BLANKS: Final = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
"""Not printable by Python's reckoning, and as harmless as a blank; Chinese text has U+3000."""


def visible(text: str) -> str:
    """The text in one line; what would move the cursor, or worse, is written as `\\x1b`, `\\n` or `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or _BLANKS.match(letter) else letter.encode("unicode_escape").decode()
        for letter in text
    )


def visible_values(value: Any) -> Any:
    """What JSON can carry, with every text in it, keys too, `visible`."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible_values(key): visible_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [visible_values(inner) for inner in value]
    return value


def visible_json(value: Any) -> str:
    """The value as JSON in one line, in letters where they can be shown. Reading it gives the very value back."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or _BLANKS.match(letter) else json.dumps(letter)[1:-1]
        for letter in text
    )
