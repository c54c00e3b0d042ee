"""Colour where it is wanted, and text that does no harm."""

from __future__ import annotations

import io

import pytest

from launcher.cli.terminal import Style, colours, table, width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "terminal", "on"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], terminal: bool, on: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert colours(Terminal() if terminal else io.StringIO()) is on


def test_painting() -> None:
    assert Style(True)("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"
    assert Style(False)("x", "red") == Style(True)("x") == "x"
    assert Style(True).state("unheard of") == "unheard of"


@pytest.mark.parametrize(
    ("text", "off", "on"),
    [
        ("\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m"),
        ("\x1b[2J\x07bell", "\\x1b[2J\\x07bell", "\\x1b[2J\\x07bell"),
        ("tab\tand\nline", "tab\tand\nline", "tab\tand\nline"),
        ("\x9b31m", "\\x9b31m", "\\x9b31m"),
    ],
)
def test_foreign_text_keeps_its_colours_and_nothing_else(text: str, off: str, on: str) -> None:
    assert Style(False).clean(text) == off
    assert Style(True).clean(text) == on


def test_columns_are_as_wide_as_what_is_seen() -> None:
    style = Style(True)
    text = table(style, ("A", "N"), [(style("long", "red"), "1"), ("x", "20")], right=(1,))
    assert [width(line) for line in text.splitlines()] == [8, 8, 8]
    assert table(Style(False), ("A", "N"), [("long", "1"), ("x", "20")], right=(1,)).splitlines() == [
        "A      N",
        "long   1",
        "x     20",
    ]
