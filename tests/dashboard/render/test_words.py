from __future__ import annotations

import pytest

from dashboard.render import words


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (200 * 1024, "200 KiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_size(given: float | None, said: str) -> None:
    assert words.size(given) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "–"), (0, "0 s"), (0.4, "< 1 s"), (59.9, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"),
        (90_000, "1 d 1 h"), (-3, "0 s"),
    ],
)  # fmt: skip
def test_duration(given: float | None, said: str) -> None:
    assert words.duration(given) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "–"), (0.0, "0/s"), (0.5, "0.5/s"), (2.96, "3/s"), (42.4, "42/s"), (999, "999/s"), (1500, "1.5 k/s"),
        (250_000, "250 k/s"), (2.6e6, "2.6 M/s"),
    ],
)  # fmt: skip
def test_rate(given: float | None, said: str) -> None:
    assert words.rate(given) == said


def test_percent_and_milliseconds() -> None:
    assert [words.percent(n) for n in (None, 0, 0.26, 12.7)] == ["–", "0 %", "0.3 %", "13 %"]
    assert [words.milliseconds(n) for n in (None, 0.126, 4.2, 250)] == ["–", "0.13 ms", "4.2 ms", "250 ms"]


def test_ordinals() -> None:
    said = [words.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]


def test_the_worst_level_counts() -> None:
    assert words.worst([]) == "ok"
    assert words.worst(["ok", "bad", "warn"]) == "bad"


def test_what_styles_a_terminal_is_left_out_of_a_line() -> None:
    assert words.unstyled("\x1b[1;31mERROR\x1b[0m \x1b]0;title\x07in \x1b[2Ka[0]\x1b(B") == "ERROR in a[0]"
