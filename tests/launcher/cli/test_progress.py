"""What `up` prints: log lines for people, and the dashboard's address."""

from __future__ import annotations

import io
import json
import os

import pytest

from launcher.cli.progress import Background
from launcher.errors import StartFailed


def test_the_background_reports_in_json_and_then_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    redirected: list[int] = []
    monkeypatch.setattr(os, "dup2", lambda _, number: redirected.append(number))
    out = io.StringIO()
    reporter = Background(out)
    reporter.failed(StartFailed("why", [{"line": "last words"}]))
    reporter.stopping("later")  # nobody hears that any more
    assert json.loads(out.getvalue()) == {"done": "failed", "reason": "why", "tail": [{"line": "last words"}]}
    assert redirected == [1]


def test_a_listener_that_went_away_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    Background(Gone()).stopping("x")
