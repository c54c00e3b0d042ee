from __future__ import annotations

import pytest

from luabus.cluster.signals import Effect, effect_of, name_of
from luabus.errors import Refused


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("SIGKILL", "SIGKILL"), ("kill", "SIGKILL"), (" Term ", "SIGTERM"), ("9", "SIGKILL"),
        ("SIGCLD", "SIGCHLD"), ("64", "SIGRTMAX"), ("33", "33"),
    ],
)  # fmt: skip
def test_a_signal_goes_by_its_usual_name(given: str, name: str) -> None:
    assert name_of(given) == name


@pytest.mark.parametrize("given", ["SIGFOO", "", "0", "65", "-9", "9.0", "SIG"])
def test_what_is_no_signal(given: str) -> None:
    with pytest.raises(Refused, match=r"there is no signal .*; usual are SIGTERM, SIGKILL"):
        name_of(given)


def test_what_signals_do() -> None:
    found = [
        effect_of(name) for name in ("SIGKILL", "SIGINT", "SIGSTOP", "SIGCONT", "SIGWINCH", "SIGUSR1", "40")
    ]
    assert found == [
        Effect.ENDS, Effect.STOPS_CLEANLY, Effect.PAUSES, Effect.GOES_ON, Effect.NOTHING,
        Effect.PROGRAMS_OWN, Effect.PROGRAMS_OWN,
    ]  # fmt: skip
