"""How much of the keys moves, and to whom."""

from __future__ import annotations

import time

import pytest

from luabus.cluster.key_moves import moving, percent
from luabus.cluster.state import GroupState, Slot


def group(*tokens: int, mode: str = "hash") -> GroupState:
    slots = tuple(Slot(f"2.{n}", f"mail.{n}", token) for n, token in enumerate(tokens, 1))
    return GroupState(2, "mail", mode, slots=slots)


def test_who_goes_leaves_his_part_to_all_others_and_gets_it_back() -> None:
    told = moving(group(1, 2, 3), away={"2.2"})
    assert told is not None
    assert (told.code, told.values) == (
        "effect.keys-move", {"group": "mail", "percent": "33", "heirs": "mail.3 (17 %), mail.1 (16 %)"},
    )  # fmt: skip
    back = moving(group(1, 0, 3), back={"2.2"})
    assert back is not None
    assert back.values["heirs"] == "mail.2 (33 %)"


def test_many_heirs_are_not_all_named() -> None:
    told = moving(group(*range(1, 21)), away={"2.20"})
    assert told is not None
    assert told.values["heirs"].endswith("%), … (+15)")


@pytest.mark.parametrize(
    ("made", "away"),
    [
        (group(1, 2, mode="random"), {"2.1"}),
        (group(1, 2), {"2.1", "2.2"}),
        (group(1, 0), {"2.2"}),
        (group(), {"2.1"}),
    ],
)
def test_where_no_key_moves_nothing_is_told(made: GroupState, away: set[str]) -> None:
    assert moving(made, away=away) is None


def test_of_very_many_it_is_told_without_counting() -> None:
    started = time.process_time()
    told = moving(group(1, 2), back=[f"2.{n}" for n in range(3, 65_536)])
    assert told is not None
    assert told.values["percent"] == "100"
    assert time.process_time() - started < 5


def test_percents_below_ten_have_a_decimal() -> None:
    assert [percent(part) for part in (0.333, 0.0996, 0.099, 0.0072, 0.0)] == [
        "33",
        "10",
        "9.9",
        "0.7",
        "0.0",
    ]
