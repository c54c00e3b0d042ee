"""The routers' alarms in as few sentences as say it all. Pure.

One thing that is wrong comes as many alarms: when a lease store is down, each router repeats what each candidate told it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

NAMES_SHOWN: Final = 5

_SINCE: Final = re.compile(r" since \S+")


def sentences(alarms: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of `{"router", "kind", "text"}`: who says it and what, once for all that say the same; of several "since" the earliest."""
    speakers: dict[tuple[str, str], set[str]] = {}
    texts: dict[tuple[str, str], str] = {}
    for alarm in alarms:
        speaker, text = str(alarm["router"]), str(alarm["text"])
        if alarm["kind"] == "service":  # "mail.1: what it reports", which every router repeats
            name, colon, reported = text.partition(": ")
            if colon:
                speaker, text = name, reported
        key = (str(alarm["kind"]), _SINCE.sub("", text))
        speakers.setdefault(key, set()).add(speaker)
        texts[key] = min(text, texts.get(key, text))
    return [_sentence(sorted(names), texts[key]) for key, names in speakers.items()]


def _sentence(names: Sequence[str], text: str) -> str:
    if len(names) == 1:
        return f"{names[0]} says: {text}"
    if len(names) > NAMES_SHOWN:
        return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} more say: {text}"
    return f"{', '.join(names[:-1])} and {names[-1]} say: {text}"
