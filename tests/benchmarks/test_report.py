"""The report and its chart, from made-up samples."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks import report
from benchmarks.chart import svg
from benchmarks.results import Results

ONE = {"rate": 1_340_000.0, "cpu_us": 0.42}
TRIP = {"rate": 38_400.0, "cpu_us": 21.5, "p50_us": 217.0, "p99_us": 1430.0}
FOUND = Results(
    {"Python": "3.11"},
    {
        "router-one": {"luabus": [ONE], "nats": [ONE]},
        "request-1": {"luabus": [TRIP], "nats": [TRIP], "floor4": [TRIP], "floor4-asyncio": [TRIP]},
        "memory": {"luabus": [{"idle": 27e6, "per_connection_1000": 4096.0, "slow_consumer": 9e6}]},
    },
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1_340_000, "1.34 M"), (38_400, "38.4 k"), (4300, "4,300"), (0.416, "0.416"), (21.5, "21.5")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert report.number(value) == text


def test_the_page_gets_this_runs_figures_and_keeps_its_words() -> None:
    page = f"# Words\n\n{report.BEGIN}\nold figures\n{report.END}\n\nMore words.\n"
    new = report.updated(page, FOUND)
    assert "old figures" not in new
    assert new.startswith("# Words\n")
    assert new.endswith("\n\nMore words.\n")
    assert "| Router alone, one target | luabus | 1.34 M msg/s |" in new
    assert "4.0 KiB" in new
    assert report.updated(new, FOUND) == new


def test_a_page_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="has no lines"):
        report.updated("# Words", FOUND)


def test_every_row_of_a_table_has_a_cell_per_column() -> None:
    for head, rows in (
        (report.MEASURE_HEAD, report.measure_rows(FOUND)),
        (report.TARGET_HEAD, report.target_rows(FOUND)),
        (report.MEMORY_HEAD, report.memory_rows(FOUND)),
    ):
        assert rows
        assert {len(row) for row in rows} == {len(head)}


def test_the_chart_is_a_picture_with_a_bar_per_figure() -> None:
    picture = ElementTree.fromstring(svg(FOUND))
    space = "{http://www.w3.org/2000/svg}"
    bars = picture.findall(f"{space}rect")
    assert len(bars) == 6
    assert all(0 < int(bar.attrib["width"]) <= 440 for bar in bars)
    words = [text.text for text in picture.findall(f"{space}text")]
    assert "1.34 M msg/s" in words
