from __future__ import annotations

import pytest

from dashboard.views import formatting
from dashboard.views.formatting import percentile_ms


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (200 * 1024, "200 KiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_size(given: float | None, text: str) -> None:
    assert formatting.size(given) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "–"), (0, "0 s"), (0.4, "< 1 s"), (59.9, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"),
        (90_000, "1 d 1 h"), (-3, "0 s"),
    ],
)  # fmt: skip
def test_duration(given: float | None, text: str) -> None:
    assert formatting.duration(given) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "–"), (0.0, "0/s"), (0.5, "0.5/s"), (2.96, "3/s"), (42.4, "42/s"), (999, "999/s"), (1500, "1.5 k/s"),
        (250_000, "250 k/s"), (2.6e6, "2.6 M/s"),
    ],
)  # fmt: skip
def test_rate(given: float | None, text: str) -> None:
    assert formatting.rate(given) == text


def test_percent_and_milliseconds() -> None:
    assert [formatting.percent(n) for n in (None, 0, 0.26, 12.7)] == ["–", "0 %", "0.3 %", "13 %"]
    assert [formatting.milliseconds(n) for n in (None, 0.126, 4.2, 250)] == [
        "–",
        "0.13 ms",
        "4.2 ms",
        "250 ms",
    ]


def test_what_styles_a_terminal_is_left_out_of_a_line() -> None:
    assert (
        formatting.unstyled("\x1b[1;31mERROR\x1b[0m \x1b]0;title\x07in \x1b[2Ka[0]\x1b(B") == "ERROR in a[0]"
    )


def test_what_else_a_terminal_would_obey_is_shown_in_letters() -> None:
    hidden = "a\tb \r\x07\x00\x9b\u202e\u2028\x1b 信"
    assert formatting.unstyled(hidden) == "a\tb \\r\\x07\\x00\\x9b\\u202e\\u2028\\x1b 信"


def test_percentiles_of_a_histogram_of_powers_of_two() -> None:
    buckets = [0] * 25
    assert percentile_ms(buckets, 0.5) is None
    buckets[10] = 100
    assert percentile_ms(buckets, 0.5) == pytest.approx(0.768)
    buckets[20] = 1
    assert 0.5 < (percentile_ms(buckets, 0.5) or 0) < 1.1
    assert 500 < (percentile_ms(buckets, 1.0) or 0) < 1100
