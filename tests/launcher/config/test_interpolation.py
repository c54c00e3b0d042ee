"""`${VAR}` in texts."""

from __future__ import annotations

import pytest

from launcher.config.interpolation import InterpolationError, interpolate

VALUES = {"A": "1", "HOME": "/home/ann", "EMPTY": "", "DOLLAR": "$A"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("$HOME/bin:$A", "/home/ann/bin:1"),
        ("${A}${A}b", "11b"),
        ("${EMPTY}", ""),
        ("${NONE:-x}${EMPTY:-y}${A:-z}", "xy1"),
        ("${NONE-x}${EMPTY-y}${A-z}", "x1"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${NONE:-${OTHER:-${A}}}!", "1!"),
        ("${A:?must be}${EMPTY?must be}", "1"),
        ("${A:+is}${EMPTY:+is}${NONE:+is}", "is"),
        ("${A+is}${EMPTY+is}${NONE+is}", "isis"),
        ("${DOLLAR}", "$A"),  # a value is not filled in again
        ("$$A $${A} 5$$", "$A ${A} 5$"),
        ("$$$A", "$1"),
        ("5$ $1 $(date) a$", "5$ $1 $(date) a$"),
    ],
)
def test_every_form(text: str, filled: str) -> None:
    assert interpolate(text, VALUES) == filled


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A} ${NONE:-x}", "1 x"),
        ("$HOME $A $1 $(id -u) $? $! $@", "$HOME $A $1 $(id -u) $? $! $@"),
        ("${A%.*} ${#A} ${1} ${A", "${A%.*} ${#A} ${1} ${A"),
        ("echo $$ >pid; echo $$", "echo $$ >pid; echo $$"),
        ("$${A} $${A:-x} $$A", "${A} ${A:-x} $A"),
    ],
)
def test_a_command_keeps_what_is_a_shells(text: str, filled: str) -> None:
    assert interpolate(text, VALUES, command=True) == filled


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${NONE}", "NONE is not set; ${NONE:-default} gives a default"),
        ("$NONE", "NONE is not set"),
        ("${NONE:?give it}", "NONE is not set: give it"),
        ("${EMPTY:?give ${A}}", "EMPTY is not set: give 1"),
        ("${NONE?}", "NONE is not set"),
        ("${A:-${NONE}} ${NONE:-${NONE}}", "NONE is not set"),
        ("${A%x}", "${A%x} is no form"),
        ("${}", "${} is no form"),
        ("${A", "${ is no form"),
    ],
)
def test_what_cannot_be_filled_in(text: str, why: str) -> None:
    with pytest.raises(InterpolationError) as caught:
        interpolate(text, VALUES)
    assert str(caught.value).startswith(why)


def test_an_unset_variable_in_a_command_tells_how_a_shell_gets_it() -> None:
    with pytest.raises(InterpolationError, match=r"i is not set; .*\$\$\{i\} leaves it to a shell"):
        interpolate("for i in 1 2; do echo ${i}; done", {}, command=True)
