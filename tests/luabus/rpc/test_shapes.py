"""What a word may be given: types exactly, ranges, sizes, printable text; and what the error says."""

from __future__ import annotations

from typing import Any

import pytest

from luabus.errors import BadArguments
from luabus.rpc.shapes import (
    FLAG,
    NAME,
    SERVICE_ID,
    Either,
    ListOf,
    MapOf,
    OneOf,
    Optional,
    Record,
    Shape,
    Text,
    Whole,
    checked,
    shown,
)

FITS: list[tuple[Shape, list[Any]]] = [
    (Whole(0, 3), [0, 3]),
    (FLAG, [True, False]),
    (NAME, ["", "mail", "ß" * 100, "邮件"]),
    (Text(5, least=1, free=True), ["a\nb"]),
    (OneOf(("a", 1)), ["a", 1]),
    (Optional(Whole(0, 3)), [None, 2]),
    (SERVICE_ID, [0x0002_0001, "2.1", "mail.1"]),
    (ListOf(FLAG, 2), [[], [True, False]]),
    (MapOf(Whole(1, 2), NAME, 2), [{}, {1: "a", 2: "b"}]),
    (Record({"a": FLAG}), [{"a": True}, {"a": False, "newer": 1}]),
]
MISFITS: list[tuple[Shape, Any, str]] = [
    (Whole(0, 3), True, "x is a whole number from 0 to 3, not True"),
    (Whole(0, 3), 4, "x is a whole number from 0 to 3, not 4"),
    (Whole(0, 3), 1.0, "x is a whole number from 0 to 3, not 1.0"),
    (FLAG, 1, "x is one of True, False, not 1"),
    (NAME, "a\x1bb", r"x is a printable text of at most 100 characters, not 'a\x1bb'"),
    (NAME, "a\u202eb", r"x is a printable text of at most 100 characters, not 'a\u202eb'"),
    (NAME, "x" * 101, f"x is a printable text of at most 100 characters, not '{'x' * 40}'..."),
    (NAME, None, "x is a printable text of at most 100 characters, not None"),
    (Text(5, least=1), "", "x is a printable text of 1 to 5 characters, not ''"),
    (OneOf((1,)), True, "x is one of 1, not True"),
    (Optional(Whole(0, 3)), "", "x is a whole number from 0 to 3, not ''"),
    (Either((FLAG, NAME)), 5, "x is one of True, False, or a printable text of at most 100 characters, not 5"),
    (ListOf(FLAG, 1), [True, True], "x is a list of at most 1 items, not a list of 2"),
    (ListOf(FLAG, 1), [0], "x[0] is one of True, False, not 0"),
    (MapOf(Whole(1, 2), NAME, 1), {3: ""}, "x key 3 is a whole number from 1 to 2, not 3"),
    (MapOf(Whole(1, 2), NAME, 1), {1: 1}, "x[1] is a printable text of at most 100 characters, not 1"),
    (Record({"a": FLAG}), {}, "x is a map with a, not a dict of 0"),
    (Record({"a": Record({"b": FLAG})}), {"a": {"b": 0}}, "x['a']['b'] is one of True, False, not 0"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "values"), FITS, ids=lambda part: str(part)[:30])
def test_what_fits_passes(shape: Shape, values: list[Any]) -> None:
    for value in values:
        shape.check(value, "x")


@pytest.mark.parametrize(("shape", "value", "text"), MISFITS, ids=lambda part: str(part)[:30])
def test_what_does_not_is_named_with_its_place(shape: Shape, value: Any, text: str) -> None:
    with pytest.raises(BadArguments) as caught:
        shape.check(value, "x")
    assert str(caught.value) == text
    assert caught.value.path == text.split(" is ")[0]


def test_a_mistake_inside_of_one_kind_is_told_by_its_own_place() -> None:
    with pytest.raises(BadArguments, match=r"x\['a'\] is one of True, False"):
        Either((NAME, Record({"a": FLAG}))).check({"a": 5}, "x")


def test_a_value_is_never_printed_whole() -> None:
    values = ["x" * 10**6, b"x" * 10**6, list(range(10**5)), {n: n for n in range(1000)}, 1 << 5000, object()]
    assert all(len(shown(value)) < 60 for value in values)


def test_a_function_is_checked_by_position_and_keeps_its_defaults() -> None:
    def add(a: int, b: int = 5) -> int:
        return a + b

    made = checked(add, (Whole(0, 9), Whole(0, 9)), "luabus.add")
    assert (made(1), made(1, 2)) == (6, 3)
    with pytest.raises(BadArguments, match="b is a whole number") as caught:
        made(1, 10)
    assert caught.value.method == "luabus.add"
    with pytest.raises(TypeError, match="2 parameters and 1 shapes"):
        checked(add, (FLAG,))
