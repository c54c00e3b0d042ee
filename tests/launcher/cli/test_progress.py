"""What `up` prints: log lines for people, and the dashboard's address."""

from __future__ import annotations

import io
import json
import os

import pytest

from launcher.cli.progress import Background, LogPrinter
from launcher.cli.terminal import Style
from launcher.errors import StartFailed
from launcher.runtime.log_files import Line

TIME = "2026-01-31T12:00:00.123456Z"


def test_names_are_one_column_and_foreign_text_is_harmless() -> None:
    out = io.StringIO()
    printer = LogPrinter(Style(False), out)
    printer.lines(
        [
            Line(TIME, "mail.1", "out", "hello"),
            Line(TIME, "a-long-name.12", "err", "\x1b[2J"),
            Line(TIME, "mail.2", "sys", "ended"),
        ]
    )
    assert out.getvalue().splitlines() == [
        "12:00:00.123 mail.1   | hello", "12:00:00.123 a-long-name.12 | \\x1b[2J", "12:00:00.123 mail.2         | (ended)",
    ]  # fmt: skip


def test_instances_of_a_service_have_its_colour() -> None:
    out = io.StringIO()
    LogPrinter(Style(True), out, times=False).lines(
        [Line(TIME, name, "out", "x") for name in ("mail.1", "web.1", "mail.2")]
    )
    first, second, third = (line.partition("m")[0] for line in out.getvalue().splitlines())
    assert first == third != second


def test_the_background_reports_in_json_and_then_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    redirected: list[int] = []
    monkeypatch.setattr(os, "dup2", lambda _, number: redirected.append(number))
    out = io.StringIO()
    reporter = Background(out)
    reporter.failed(StartFailed("why", ["last", "words"]))
    reporter.stopping("later")  # nobody hears that any more
    assert json.loads(out.getvalue()) == {"done": "failed", "reason": "why", "tail": ["last", "words"]}
    assert redirected == [1]


def test_a_listener_that_went_away_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    Background(Gone()).stopping("x")
