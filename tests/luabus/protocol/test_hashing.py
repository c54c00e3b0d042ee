from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luabus.errors import BadArguments
from luabus.protocol.hashing import hash_key, key_of


# The vectors of docs/protocol.md are checked by test_protocol_doc.py; these are CRC-32's own.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("", 0),
        ("123456789", 0xCBF4_3926),
        (b"123456789", 0xCBF4_3926),
        ("a", 0xE8B7_BE43),
        ("\u90ae\u4ef6", 0x6DC3_7F9B),
    ],
)
def test_text_and_bytes_go_through_crc32(key: str | bytes, hashed: int) -> None:
    assert hash_key(key) == hashed


@pytest.mark.parametrize(
    ("key", "hashed"), [(0, 0), (7, 7), (1 << 32, 0), ((1 << 32) + 5, 5), (-1, 0xFFFF_FFFF), (1 << 70, 0)]
)
def test_an_int_is_used_as_it_is_modulo_2_to_the_32(key: int, hashed: int) -> None:
    assert hash_key(key) == hashed


@given(st.text())
def test_text_is_hashed_as_its_utf8(text: str) -> None:
    assert hash_key(text) == hash_key(text.encode()) < 1 << 32


def test_subclasses_hash_as_what_they_are() -> None:
    class Account(str):
        __slots__ = ()

    assert hash_key(Account("alice")) == hash_key("alice")


@pytest.mark.parametrize("key", [None, 1.5, True, ["a"], ("a",), bytearray(b"a")])
def test_other_keys_are_refused(key: object) -> None:
    with pytest.raises(BadArguments, match=f"a hash key is int, str or bytes, not {type(key).__name__}"):
        hash_key(key)  # type: ignore[arg-type]


def test_text_without_a_utf8_form_is_refused() -> None:
    with pytest.raises(BadArguments, match="not valid Unicode"):
        hash_key("\ud800")


def test_names_spread_over_the_slots() -> None:
    found = Counter(hash_key(f"account {number}") % 3 for number in range(3000))
    assert all(800 < count < 1200 for count in found.values())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("5", 5), ("-5", -5), ("007", 7), ("--5", "--5"), ("-", "-"), ("5-", "5-"), ("1_0", "1_0"), (" 5", " 5"),
        ("+5", "+5"), ("\u0665", "\u0665"), ("alice", "alice"), ('"5"', "5"), ('"', '"'), ('""', ""), ('"5', '"5'),
        ("9" * 641, "9" * 641), ("", ""),
    ],
)  # fmt: skip
def test_a_written_key_is_a_number_if_it_is_a_whole_one_and_not_quoted(text: str, key: int | str) -> None:
    assert key_of(text) == key
