"""The rule of docs/keys.md: who owns which bucket."""

from __future__ import annotations

import time
from collections import Counter
from hashlib import shake_128

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luabus.routing import buckets
from luabus.routing.buckets import BUCKETS, Buckets, bucket_of, in_line, scores

MEMBERS = range(0x0002_0001, 0x0002_0001 + 50)


def owners_of(members: list[int]) -> list[int]:
    return Buckets(members).owners(members)


def test_a_bucket_is_a_hash_modulo_4096() -> None:
    assert [bucket_of(hashed) for hashed in (0, 4095, 4096, 0xFFFF_FFFF)] == [0, 4095, 0, 4095]


def test_scores_are_the_words_of_shake_128_of_the_id() -> None:
    stream = shake_128(b"\x01\x00\x02\x00").digest(16_384)
    assert len(scores(0x0002_0001)) == BUCKETS
    for bucket in (0, 1, 4095):
        assert scores(0x0002_0001)[bucket] == int.from_bytes(stream[4 * bucket : 4 * bucket + 4], "little")


def test_the_owner_has_the_highest_score_and_the_next_in_line_the_second() -> None:
    members = list(MEMBERS[:5])
    owners = owners_of(members)
    for bucket in range(0, BUCKETS, 61):
        line = in_line(bucket, members)
        ranks = [scores(member)[bucket] for member in line]
        assert (owners[bucket], ranks) == (line[0], sorted(ranks, reverse=True))
        assert owners_of([known for known in members if known != line[0]])[bucket] == line[1]


def test_of_equal_scores_the_lower_id_owns(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = scores(1)
    monkeypatch.setattr(buckets, "scores", lambda member: alike)
    for order in ([7, 5, 9], [5, 7, 9], [9, 7, 5]):
        made = Buckets(order)
        assert set(made.owners(order)) == {5}
        made.leave(5)
        assert set(made.owners([member for member in order if member != 5])) == {7}
    assert in_line(0, [7, 5, 9]) == [5, 7, 9]


def test_of_nobody_nobody_owns_and_a_score_of_zero_is_one() -> None:
    made = Buckets()
    assert set(made.owners([])) == {0}
    made.enter(3)
    assert set(made.owners([3])) == {3}
    made.leave(3)
    assert set(made.owners([])) == {0}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=40), st.integers(1, 7))
def test_owners_are_of_those_who_are_live_whatever_was_before(
    history: list[tuple[bool, int]], looks: int
) -> None:
    made, live = Buckets(), set[int]()
    for step, (comes, member) in enumerate(history):
        if comes and member not in live:
            live.add(member)
            made.enter(member)
        elif not comes and member in live:
            live.discard(member)
            made.leave(member)
        if step % looks == 0:
            made.owners(sorted(live))
    assert made.owners(sorted(live)) == owners_of(sorted(live, reverse=True))


@pytest.mark.parametrize("size", range(2, 21))
def test_the_largest_share_is_at_most_1_15_of_the_mean(size: int) -> None:
    for group in (1, 2, 7, 200):
        owned = Counter(owners_of([group << 16 | instance for instance in range(1, size + 1)]))
        assert len(owned) == size
        assert max(owned.values()) <= 1.15 * BUCKETS / size


def test_a_newcomer_takes_its_part_and_who_goes_leaves_it_to_all() -> None:
    members = list(MEMBERS[:9])
    before, after = owners_of(members[:8]), owners_of(members)
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {members[8]}
    assert len(moved) == pytest.approx(BUCKETS / 9, rel=0.15)
    assert Counter(old for old, _ in moved).keys() == set(members[:8])


def test_a_change_in_a_group_of_50_is_decided_in_under_5_ms() -> None:
    members = list(MEMBERS)
    made = Buckets(members)
    took = []
    for member in members[:10]:
        started = time.process_time()
        made.leave(member)
        made.owners([known for known in members if known != member])
        made.enter(member)
        made.owners(members)
        took.append(time.process_time() - started)
    assert min(took) < 0.010  # two changes
