"""Refusals: exit codes, places, suggestions."""

from __future__ import annotations

import errno

import pytest

from launcher import errors
from launcher.errors import ConfigError, Problem, describe, suggest, visible


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LauncherError", 1), ("ConfigError", 2), ("UsageError", 2), ("NotRunning", 3), ("AlreadyRunning", 1), ("RunDirError", 1),
        ("PortInUse", 1), ("StartFailed", 1),
    ],
)  # fmt: skip
def test_every_refusal_has_the_exit_code_its_tree_says(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code
    assert f"{name} " in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "is wrong", 3), "f:3: a.b: is wrong"),
        (Problem("a.b", "is wrong"), "f: a.b: is wrong"),
        (Problem("", "is wrong", 3), "f:3: is wrong"),
    ],
)
def test_a_problem_has_its_place(problem: Problem, text: str) -> None:
    assert problem.render("f") == text
    assert str(ConfigError("f", [problem, problem])) == f"{text}\n{text}"


def test_what_moves_the_cursor_is_escaped() -> None:
    assert visible("é\x1b[31m\n\u202e") == "é\\x1b[31m\\n\\u202e"


def test_what_nobody_expected() -> None:
    assert describe(OSError(errno.ENOSPC, "No space left on device", "/x")) == "/x: No space left on device"
    assert describe(OSError(errno.ENOENT, "No such file", "/x")).startswith("this should not happen:\n")


def test_suggestions() -> None:
    assert str(suggest("mial", ["mail", "lobby"])) == 'did you mean "mail"?'
    assert str(suggest("x", ["mail", "lobby"])) == "allowed: lobby, mail"
    assert str(suggest("x", [str(n) for n in range(100, 120)], limit=2)) == "allowed: 100, 101 and 18 more"
    assert str(suggest("x", [])) == "there are none"
