"""Whose silence it is, in made-up time."""

from __future__ import annotations

from math import inf

import pytest

from luabus.protocol.silence import LATE_S, Silence


def test_a_peer_that_says_nothing_for_the_limit_is_silent() -> None:
    silence = Silence(3.5)
    assert silence.due_at(100.0) == 103.5
    assert not silence.is_broken(100.0, 103.4)
    assert silence.is_broken(100.0, 103.5)
    assert silence.is_broken(100.0, 103.5 + LATE_S)
    assert silence.error().timeout_s == 3.5


def test_without_a_limit_it_is_never() -> None:
    assert Silence().due_at(100.0) == inf
    assert not Silence().is_broken(100.0, 1e9)


@pytest.mark.parametrize("late_s", [0.2, 2.5, 3600.0])
def test_who_looks_late_gives_another_interval(late_s: float) -> None:
    silence = Silence(3.5)
    woken = 103.5 + late_s
    assert not silence.is_broken(100.0, woken)
    assert silence.due_at(100.0) == woken + 3.5
    assert not silence.is_broken(100.0, woken + 3.4)
    assert silence.is_broken(100.0, woken + 3.5)


def test_an_excuse_puts_it_off_and_is_never_taken_back() -> None:
    silence = Silence(3.5)
    silence.excuse(102.0)
    silence.excuse(101.0)
    assert silence.due_at(100.0) == 105.5
    assert silence.due_at(104.0) == 107.5
