"""The program: what an error looks like, and what a closed pipe does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.__main__ import run
from tests.launcher.harness import ClusterRun


def test_an_error_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-c", str(tmp_path / "none.toml"), "check"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("luabus-cluster: ")


def test_what_was_typed_does_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["st\x1b[31m"]) == 2
    assert 'there is no verb "st\\x1b[31m"' in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("luabus-cluster, version ")


def test_a_reader_that_has_seen_enough(steady: ClusterRun) -> None:
    line = f"{sys.executable} -m launcher -c {steady.file} logs | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
