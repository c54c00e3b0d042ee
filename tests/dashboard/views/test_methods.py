from __future__ import annotations

import datetime
from typing import Any

import pytest

from dashboard.views.methods import add_buckets, beyond_positions, merge, plain
from luabus.cluster.state import GroupState
from luabus.errors import RequestTimeout
from tests.dashboard.cluster import method, table

MAIL = GroupState.read(table("router.1")["groups"][1])


def test_instances_are_merged_and_the_silent_named() -> None:
    answers = {
        "2.1": [method("stats"), method("luabus.ping")],
        "2.2": [method("stats", calls=5), method("new", signature="(a: 'str' = 'x') -> 'None'")],
        "2.3": RequestTimeout("no answer in time"),
    }
    merged = merge(MAIL, answers)
    assert merged.silent == {"mail.3": "no answer in time"}
    assert [(method.name, method.calls) for method in merged.methods] == [("new", 3), ("stats", 8)]
    assert merged.methods[0].signature == "(a: str = 'x') -> None"


@pytest.mark.parametrize(
    ("signature", "more", "keyword_only"),
    [
        ("()", False, ()),
        ("(x: int, *, why: str = '<b>')", False, ("why",)),
        ("(a: int, b: list[str], c: float = 2.5, *rest)", True, ()),
        ("(*all, one=(1, 2), other: dict[str, int]={}, **others) -> tuple[int, ...]", True, ("one", "other")),
        ("(a=', *b', c='it\\'s', **d)", False, ()),
    ],
)
def test_what_cannot_be_given_by_position_is_known(
    signature: str, more: bool, keyword_only: tuple[str, ...]
) -> None:
    assert beyond_positions(signature) == (more, keyword_only)


def test_histograms_of_different_length_are_added() -> None:
    assert add_buckets([[1, 2], [1, 2, 3], []]) == [2, 4, 3]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({1: b"\x00\xff", "a": (1, None)}, {"1": {"bytes": "00ff"}, "a": [1, None]}),
        (float("nan"), "nan"),
        (1.5, 1.5),
        (datetime.date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_values_as_json_can_say_them(value: Any, shown: Any) -> None:
    assert plain(value) == shown
