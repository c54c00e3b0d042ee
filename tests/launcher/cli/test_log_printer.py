"""Log lines for people."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from datetime import date

import pytest

from launcher.cli.log_printer import LogPrinter, shown_time
from launcher.cli.terminal import Style
from launcher.runtime.log_files import Line

TIME = "2026-01-31T12:00:00.123456Z"


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_names_are_one_column_and_foreign_text_is_harmless() -> None:
    out = io.StringIO()
    printer = LogPrinter(Style(False), out, utc=True)
    printer.lines(
        [
            Line(TIME, "mail.1", "out", "hello"),
            Line(TIME, "a-long-name.12", "err", "\x1b[2J"),
            Line(TIME, "mail.2", "sys", "ended"),
        ]
    )
    assert [line.removeprefix("2026-01-31 ") for line in out.getvalue().splitlines()] == [
        "12:00:00.123Z mail.1   | hello",
        "12:00:00.123Z a-long-name.12 | \\x1b[2J",
        "12:00:00.123Z mail.2         | (ended)",
    ]


def test_instances_of_a_service_have_its_colour() -> None:
    out = io.StringIO()
    LogPrinter(Style(True), out, times=False).lines(
        [Line(TIME, name, "out", "x") for name in ("mail.1", "web.1", "mail.2")]
    )
    first, second, third = (line.partition("m")[0] for line in out.getvalue().splitlines())
    assert first == third != second


@pytest.mark.usefixtures("in_shanghai")
@pytest.mark.parametrize(
    ("written", "utc", "shown"),
    [
        (TIME, False, "20:00:00.123+08:00"),
        ("2026-01-31T16:00:00.000000Z", False, "2026-02-01 00:00:00.000+08:00"),
        ("2026-01-30T15:59:59.999999Z", False, "2026-01-30 23:59:59.999+08:00"),
        (TIME, True, "12:00:00.123Z"),
        ("2026-01-30T23:59:59.999999Z", True, "2026-01-30 23:59:59.999Z"),
        ("no time", False, "no time"),
    ],
)
def test_times_are_local_and_have_a_date_if_it_is_not_today(written: str, utc: bool, shown: str) -> None:
    assert shown_time(written, date(2026, 1, 31), utc=utc) == shown


def test_levels_have_colours_and_the_bar_is_red_for_trouble_on_stderr_only() -> None:
    printer = LogPrinter(Style(True), io.StringIO(), times=False)
    red, yellow, dim = "\x1b[31m", "\x1b[33m", "\x1b[2m"
    lines = [
        Line(TIME, "a.1", "err", text)
        for text in (
            "INFO    x: y",
            "WARNING x: y",
            "ERROR   x: y",
            "DEBUG   x: y",
            "Traceback",
            "\x1b[32mERROR\x1b[0m own",
        )
    ]
    info, warning, error, debug, bare, own = printer.rendered(lines)
    assert red not in info
    assert f"{red}|" not in debug
    assert (f"{red}|" in warning, f"{yellow}WARNING" in warning) == (True, True)
    assert (f"{red}|" in error, f"{red}ERROR" in error) == (True, True)
    assert f"{dim}DEBUG" in debug
    assert f"{red}|" in bare
    assert own.endswith("\x1b[32mERROR\x1b[0m own\x1b[0m")
    assert f"{red}|" not in printer.rendered([Line(TIME, "a.1", "out", "hello")])[0]
