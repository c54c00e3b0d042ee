"""Which signals are one more, and which the same once more."""

from __future__ import annotations

import pytest

from launcher.daemon.signal_debounce import Debounce, TwoWayDebounce

GUARD, DIRECT = True, False


@pytest.mark.parametrize(
    ("heard", "count"),
    [
        ([(0.0, GUARD)], 1),
        ([(0.0, GUARD), (0.03, GUARD)], 2),
        ([(0.0, DIRECT), (0.03, DIRECT)], 2),
        ([(0.0, GUARD), (0.1, DIRECT)], 1),  # a service manager, to all processes
        ([(0.0, DIRECT), (0.1, GUARD)], 1),
        ([(0.0, DIRECT), (0.1, GUARD), (0.2, GUARD), (0.21, DIRECT)], 2),  # and again
        ([(0.0, GUARD), (0.3, DIRECT)], 2),
    ],
)
def test_presses(heard: list[tuple[float, bool]], count: int) -> None:
    presses = TwoWayDebounce()
    assert sum(presses.counts(now, way) for now, way in heard) == count


def test_echoes() -> None:
    echoes = Debounce()
    assert [echoes.heard(now) for now in (0.0, 0.001, 0.002, 0.032, 0.033)] == [
        True,
        False,
        False,
        True,
        False,
    ]
