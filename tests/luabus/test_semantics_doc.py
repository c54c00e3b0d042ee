"""docs/semantics.md against the tests and the code: each numbered sentence names tests that exist, each figure is the code's."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from luabus import limits
from luabus.client import failover, flow_control
from luabus.limits import (
    CALL_TICK_S,
    DEFAULT_BUS_BUFFER,
    DEFAULT_FRAME_LIMIT,
    DEFAULT_STREAM_BUFFER,
    DEFAULT_WAITING_LIMIT,
    DRAIN_TIMEOUT_S,
    HEARTBEAT_S,
    HEARTBEATS_MISSED,
    MAX_CONCURRENCY,
    MAX_DEPTH,
    MAX_OUTSTANDING,
    STUCK_TIMEOUT_S,
)
from luabus.protocol import waiting
from luabus.transport import connection
from tests.support.imports import ROOT

PAGE = (ROOT / "docs/semantics.md").read_text("utf-8")
MOST_TESTS = 4
"""Tests that a sentence names at most: those which prove its parts, not all that touch it."""


def sentences(page: str) -> dict[int, str]:
    """The text of each numbered sentence; one that has its number twice fails."""
    found = re.findall(r"^(\d+)\. (.+?)(?=\n\d+\. |\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    numbers = [int(number) for number, _ in found]
    assert numbers == list(range(1, len(numbers) + 1))
    return {int(number): " ".join(text.split()) for number, text in found}


def table(page: str) -> list[tuple[int, list[str]]]:
    """The rows of the last section: a sentence's number and the tests it names."""
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", page.partition("## Where each is tested")[2], re.MULTILINE)
    return [(int(number), re.findall(r"`([^`]*)`", names)) for number, names in rows]


@cache
def functions_of(file: str) -> frozenset[str]:
    """The names of the test functions in `file`; none when there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    body = ast.parse(path.read_text("utf-8")).body
    functions = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def faults(page: str) -> list[str]:
    """What is wrong with the table of `page`, in words."""
    numbers = sentences(page).keys()
    rows = table(page)
    unproved = sorted(numbers - {number for number, names in rows if names})
    found = [f"sentence {number} names no test" for number in unproved]
    for number, names in rows:
        if number not in numbers:
            found.append(f"the table names sentence {number}, which there is not")
        if len(names) > MOST_TESTS or len(set(names)) < len(names):
            found.append(f"sentence {number}: {MOST_TESTS} different tests are the most")
        for name in names:
            file, _, function = name.partition("::")
            if function not in functions_of(file):
                found.append(f"sentence {number}: there is no test {name}")
    if len({number for number, _ in rows}) < len(rows):
        found.append("a sentence has two rows")
    return found


def test_every_sentence_names_tests_that_exist() -> None:
    assert faults(PAGE) == []


FIRST_ROW = re.search(r"^\| 1 \| `([^`]+)`.*\n", PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row, name: "", ["sentence 1 names no test"]),
        (lambda row, name: "| 1 | |\n", ["sentence 1 names no test"]),
        (lambda row, name: row + row, ["a sentence has two rows"]),
        (lambda row, name: f"{row}| 99 | `{name}` |\n", ["the table names sentence 99, which there is not"]),
        (lambda row, name: row.replace(name, f"{name}_x"), ["sentence 1: there is no test {name}_x"]),
        (lambda row, name: row.replace(name, "gone.py::test_x"), ["sentence 1: there is no test gone.py::test_x"]),
        (lambda row, name: row.replace(name, f"{name}`<br>`{name}"), ["sentence 1: 4 different tests are the most"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_table_is_found(change: object, words: list[str]) -> None:
    assert FIRST_ROW is not None
    assert callable(change)
    row, name = FIRST_ROW[0], FIRST_ROW[1]
    assert faults(PAGE.replace(row, change(row, name))) == [text.format(name=name) for text in words]


# --- figures --------------------------------------------------------------------------------------------------


def size(number: int) -> str:
    """Bytes as the page writes them."""
    return f"{number >> 20} MiB" if number >= 1 << 20 else f"{number >> 10} KiB"


FIGURES = {
    4: [f"{failover._SWITCH_TIMEOUT_S:g} s", size(DEFAULT_BUS_BUFFER // 2)],
    10: [f"{CALL_TICK_S * 1000:g} ms"],
    18: [
        size(DEFAULT_STREAM_BUFFER), size(DEFAULT_BUS_BUFFER), size(DEFAULT_STREAM_BUFFER), size(DEFAULT_FRAME_LIMIT),
        size(DEFAULT_WAITING_LIMIT), size(waiting.SLOW), size(waiting.BURST), f"{MAX_OUTSTANDING:,}", f"{MAX_CONCURRENCY:,}",
    ],
    19: [size(2 * flow_control.WINDOW), size(DEFAULT_BUS_BUFFER)],
    21: [
        f"{STUCK_TIMEOUT_S:g} s", size(connection._HIGH_WATER), f"{2 * STUCK_TIMEOUT_S:g} s",
        *[f"{(HEARTBEATS_MISSED + 0.5) * HEARTBEAT_S:g} s"] * 2,
    ],
    25: [f"{DRAIN_TIMEOUT_S:g} s"],
    26: [f"{DRAIN_TIMEOUT_S:g} s", f"{failover._AGREE_TIMEOUT_S:g} s", "1,000"],
    32: [f"{MAX_DEPTH} levels"],
}  # fmt: skip
"""Every figure with a unit, in the order of each sentence."""


def test_the_figures_are_those_of_the_code() -> None:
    figure = re.compile(r"[\d.]+ (?:[KM]iB|ms|s|levels)\b|\d+,\d{3}")
    found = {number: figure.findall(text) for number, text in sentences(PAGE).items()}
    assert {number: figures for number, figures in found.items() if figures} == FIGURES
    assert limits.HEARTBEATS_MISSED == 3  # "three heartbeats"
