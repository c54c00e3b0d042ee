"""Who owns a key, by the rule."""

from __future__ import annotations

from collections.abc import Iterable

from luabus import ServiceId, hash_key
from luabus.routing.buckets import bucket_of, in_line


def line_of(key: int | str | bytes, instances: Iterable[int] = (1, 2, 3), group: int = 2) -> list[int]:
    """The instances in the order in which they own the key."""
    members = [ServiceId.of(group, instance) for instance in instances]
    return [member & 0xFFFF for member in in_line(bucket_of(hash_key(key)), members)]


def key_of(*line: int, group: int = 2) -> int:
    """The first whole number that these instances own in this order."""
    return next(key for key in range(1000) if line_of(key, sorted(line), group) == list(line))
