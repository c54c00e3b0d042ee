"""`up --json`; with a real cluster in test_logs_black_box.py."""

from __future__ import annotations

import io
import json

import pytest

from launcher.cli.json_reporter import JsonLines
from launcher.errors import PortInUse


def test_a_refusal_is_an_answer_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    reporter = JsonLines(out)
    reporter.refused(PortInUse("7070 is taken"))
    reporter.close()
    error = {"type": "PortInUse", "code": None, "message": "7070 is taken"}
    assert json.loads(out.getvalue()) == {"ok": False, "text": "7070 is taken", "error": error}
    assert capsys.readouterr().err == "luabus-cluster: 7070 is taken\n"
