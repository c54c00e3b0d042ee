"""What the instances of a group declare, merged into one list; values as JSON can carry them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from dashboard.model.answers import GroupMethods, MethodShown
from dashboard.views.formatting import percentile_ms
from luabus.cluster.state import GroupState

INTERNAL = "luabus."
"""What every service answers by itself; not for the page, nor for the figures."""


def merge(group: GroupState, answers: Mapping[str, Any]) -> GroupMethods:
    """`answers` by service id: the list that `luabus.methods` gives, or an exception."""
    names = {slot.service_id: slot.name for slot in group.slots}
    silent: dict[str, str] = {}
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for service_id, answer in answers.items():
        if not isinstance(answer, list):
            silent[names.get(service_id, service_id)] = str(answer) or type(answer).__name__
            continue
        for method in answer:
            if isinstance(method, Mapping) and not str(method.get("name", INTERNAL)).startswith(INTERNAL):
                by_name.setdefault(str(method["name"]), []).append(method)
    return GroupMethods(
        group=group.group,
        name=group.name,
        instances=tuple(names.get(service_id, service_id) for service_id in answers),
        methods=tuple(_method(name, by_name[name]) for name in sorted(by_name)),
        silent=silent,
    )


def _method(name: str, declarations: Sequence[Mapping[str, Any]]) -> MethodShown:
    first = declarations[0]
    stats = [declaration.get("stats") or {} for declaration in declarations]
    buckets = add_buckets([counts.get("buckets") or () for counts in stats])
    # Under `from __future__ import annotations` every annotation comes in quotes.
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(first.get("signature", "()")))
    more, keyword_only = beyond_positions(signature)
    return MethodShown(
        name=name,
        signature=signature,
        more=more,
        keyword_only=keyword_only,
        parameters=tuple(str(parameter) for parameter in first.get("parameters") or ()),
        required=int(first.get("required") or 0),
        doc=str(first.get("doc") or ""),
        calls=sum(int(counts.get("calls") or 0) for counts in stats),
        errors=sum(int(counts.get("errors") or 0) for counts in stats),
        p50_ms=percentile_ms(buckets, 0.5),
        p99_ms=percentile_ms(buckets, 0.99),
    )


def beyond_positions(signature: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a signature such as `(a, *rest, why='x')` takes any number of arguments, and the names of those that only a
    keyword could give."""
    more, keywords, star = False, [], False
    for part in _parameters(signature):
        if part.startswith("**"):
            continue
        if part.startswith("*"):
            more, star = more or len(part) > 1, True
        elif star:
            keywords.append(re.split(r"[:=\s]", part, maxsplit=1)[0])
    return more, tuple(keywords)


def _parameters(signature: str) -> Iterator[str]:
    """What stands between the commas of the signature's own brackets; those within a default or an annotation part nothing."""
    depth, quote, part = 0, "", ""
    for before, character in pairwise(f" {signature}"):
        if quote:
            quote = "" if character == quote and before != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
            if depth == 1:
                continue
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                break
        elif character == "," and depth == 1:
            yield part.strip()
            part = ""
            continue
        part += character
    if part.strip():
        yield part.strip()


def add_buckets(histograms: Sequence[Sequence[int]]) -> list[int]:
    """Histograms added up, bucket by bucket; a newer service may have more buckets."""
    total = [0] * max((len(buckets) for buckets in histograms), default=0)
    for buckets in histograms:
        for index, count in enumerate(buckets):
            total[index] += int(count)
    return total


def plain(value: Any) -> Any:
    """A value that came over the bus, as JSON can say it: bytes as `{"bytes": "hex"}`, keys and the rest as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)
