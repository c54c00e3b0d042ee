"""Logs read back: in order, and what is asked for of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.errors import UsageError
from launcher.runtime.log_files import Line, encode
from launcher.runtime.log_reading import LogFilter, merge, parse_pattern, parse_since, tail


@pytest.mark.parametrize("wanted", [0, 1, 5, 1000])
def test_tail_reads_backwards_over_block_borders(tmp_path: Path, wanted: int) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(encode(f"t{n:06d}", "out", b"y" * (n % 500)) for n in range(2000)))
    found = tail(path, "a", wanted)
    assert [line.time for line in found] == [f"t{n:06d}" for n in range(2000 - wanted, 2000)]


def test_tail_of_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log", "none", 10) == []


def test_merging_is_by_time_and_keeps_the_last() -> None:
    one = [Line(f"t{n}", "a", "out", "") for n in (1, 4)]
    two = [Line(f"t{n}", "b", "out", "") for n in (2, 3, 5)]
    assert [line.time for line in merge([one, two], 3)] == ["t3", "t4", "t5"]
    assert merge([one, two], 0) == []


def part(name: str, *times: str) -> list[Line]:
    """Times compare as in the files: as text."""
    return [Line(time, name, "out", time) for time in times]


def test_a_clock_that_was_set_back_turns_no_lines_round() -> None:
    one = part("a", "10:00", "10:01", "09:00", "09:01")
    two = part("b", "10:00:30", "09:00:30")
    quiet = part("c", "08:00", "10:00:45")
    merged = [line.text for line in merge([one, two], 10)]
    assert merged == ["10:00", "10:00:30", "10:01", "09:00", "09:00:30", "09:01"]
    assert [line.text for line in merge([one, two], 4)] == merged[-4:]
    texts = [line.text for line in merge([one, two, part("c", "08:00", "08:30")], 3)]
    assert texts == ["09:00", "09:00:30", "09:01"]
    for lines in ([one, two, quiet], [quiet, two, one]):
        for name in "abc":
            assert [line for line in merge(lines, 99) if line.name == name] in ([one, two, quiet])


def test_a_clock_that_went_back_twice() -> None:
    one = part("a", "10:00", "09:00", "09:30", "08:00")
    two = part("b", "10:01", "09:10", "08:01")
    texts = [line.text for line in merge([one, two], None)]
    assert texts == ["10:00", "10:01", "09:00", "09:10", "09:30", "08:00", "08:01"]


def test_a_filter_counts_what_it_lets_through(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    lines = [
        encode(f"2026-01-31T11:{n:02d}:00.000000Z", "out", b"even" if n % 2 == 0 else b"odd")
        for n in range(60)
    ]
    path.write_bytes(b"".join(lines[30:]))
    (tmp_path / "a.log.1").write_bytes(b"".join(lines[:30]))
    wanted = LogFilter("2026-01-31T11:20:00.000000Z", parse_pattern("EVEN|even"))
    found = tail(path, "a", None, wanted)
    assert [line.time[14:16] for line in found] == [f"{n:02d}" for n in range(20, 60, 2)]
    assert tail(path, "a", 3, wanted) == found[-3:]


def test_since_is_told_as_in_the_files() -> None:
    assert parse_since("2026-01-31T13:00:00+08:00") == "2026-01-31T05:00:00.000000Z"
    with pytest.raises(UsageError, match='--since "soon" is no time; allowed: 10m'):
        parse_since("soon")


def test_a_pattern_heeds_capitals_if_it_has_any() -> None:
    assert parse_pattern("error").search("ERROR")
    assert not parse_pattern("Error").search("ERROR")
    assert parse_pattern(r"\S+k").search("all OK")
    assert not parse_pattern("(?-i:error)").search("ERROR")
    with pytest.raises(UsageError, match="no regular expression"):
        parse_pattern("(")
