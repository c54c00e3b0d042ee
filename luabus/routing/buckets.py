"""Who owns a key: 4096 buckets, each owned by the live member with the highest score there. Pure.

The scores of a member are SHAKE-128 of its service id (4 bytes, little-endian), 16,384 bytes as little-endian words; of equal
scores the one of the lower id is higher. So owners are a function of who is live, and of nothing else. docs/keys.md has the
reasons and the costs, docs/protocol.md test vectors.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from functools import lru_cache
from hashlib import shake_128
from itertools import compress
from operator import ge
from typing import Final

BUCKETS: Final = 4096

_NUMBERS: Final = range(BUCKETS)
_KEPT: Final = 1024
"""Instances whose scores are kept at hand, 16 KiB each: a departure compares those of all members."""


def bucket_of(hashed: int) -> int:
    """The bucket of a key with this hash (`hash_key`)."""
    return hashed % BUCKETS


@lru_cache(_KEPT)
def scores(service_id: int) -> array[int]:
    """An instance's score in each bucket, 32 bits each."""
    words = array("I", shake_128(service_id.to_bytes(4, "little")).digest(4 * BUCKETS))
    if sys.byteorder == "big":
        words.byteswap()
    return words


def in_line(bucket: int, members: Iterable[int]) -> list[int]:
    """These ids in the order in which they own the bucket: the first owns it, the second takes over without the first."""
    return sorted(map(int, members), key=lambda member: (-scores(member)[bucket], member))


class Buckets:
    """The owners among `members` that come and go.

    Who enters is compared with the owners at once. Who has left is only noted: what many who left together, or
    came back, have owned is decided when somebody looks.
    """

    __slots__ = ("_best", "_left", "_owners")

    def __init__(self, members: Iterable[int] = ()) -> None:
        self._owners = [0] * BUCKETS  # 0: nobody
        self._best = array("I", bytes(4 * BUCKETS))
        self._left: set[int] = set()
        for member in members:
            self.enter(member)

    def enter(self, member: int) -> None:
        """`member` is live, and was not."""
        if member in self._left:  # nobody has been given its buckets yet
            self._left.discard(member)
            return
        words = scores(member)
        self._contend(member, words, list(compress(_NUMBERS, map(ge, words, self._best))))

    def leave(self, member: int) -> None:
        """`member` is live no more."""
        self._left.add(member)

    def owners(self, members: Iterable[int]) -> list[int]:
        """The owner of each bucket, 0 where nobody is live. `members`: all who are."""
        if self._left:
            left, self._left = self._left, set()
            vacant = [bucket for bucket, owner in enumerate(self._owners) if owner in left]
            for bucket in vacant:
                self._owners[bucket] = self._best[bucket] = 0
            for member in members if vacant else ():
                self._contend(member, scores(member), vacant)
        return self._owners

    def _contend(self, member: int, words: array[int], buckets: list[int]) -> None:
        owners, best = self._owners, self._best
        for bucket in buckets:
            score, highest = words[bucket], best[bucket]
            if score > highest or (score == highest and not 0 < owners[bucket] < member):
                owners[bucket], best[bucket] = member, score
