"""Levels as programs write them."""

from __future__ import annotations

import pytest

from luabus.cluster.log_level import is_routine, level_of


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("INFO    luabus.link: router.1 is connected", "INFO"),
        ("WARNING luabus.link [00ff]: slow", "WARNING"),
        ("2026-01-31 12:00:00,123 ERROR root: INFO is no level here", "ERROR"),
        ("\x1b[1;31mCRITICAL\x1b[0m it burns", "CRITICAL"),
        ("ERROR:root:message", "ERROR"),
        ("2026/01/31 12:00:00 [warn] 7#7: nginx", "WARNING"),
        ("ts=1 level=info msg=started", "INFO"),
        ('{"time": "x", "level": "fatal", "msg": "ERROR"}', "CRITICAL"),
        ("error: no such file", "ERROR"),
        ("gcc: fatal: no input", "CRITICAL"),
        ("NOTICE: relation exists", "INFO"),
        ("an error is not a level in the midst of a sentence", None),
        ("GET /INFO/ERROR 200", None),
        ("INFORMATION", None),
        ("Traceback (most recent call last):", None),
        ("", None),
        ("x" * 200 + " ERROR", None),
    ],
)
def test_the_level_of_a_line(text: str, level: str | None) -> None:
    assert level_of(text) == level


def test_what_is_routine() -> None:
    assert [is_routine(level) for level in ("DEBUG", "INFO", "WARNING", "ERROR", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
