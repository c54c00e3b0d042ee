"""How a line of a log looks."""

from __future__ import annotations

import pytest

from dashboard.model.answers import LogLine
from dashboard.views.log_lines import line_class, line_hint


@pytest.mark.parametrize(
    ("line", "classes", "hint"),
    [
        (LogLine(line="x"), "", "stdout"),
        (LogLine(line="x", stream="err", time="t"), "line-err", "t · stderr"),
        (LogLine(line="x", stream="err", level="INFO"), "", "stderr · INFO"),
        (LogLine(line="x", stream="err", level="DEBUG"), "line-quiet", "stderr · DEBUG"),
        (LogLine(line="x", stream="err", level="WARNING"), "line-warn line-err", "stderr · WARNING"),
        (LogLine(line="x", stream="out", level="CRITICAL"), "line-bad", "stdout · CRITICAL"),
        (LogLine(line="ended: SIGKILL", stream="sys", time="t"), "line-own", "t"),
    ],
)
def test_classes_and_hint(line: LogLine, classes: str, hint: str) -> None:
    assert (line_class(line), line_hint(line)) == (classes, hint)
