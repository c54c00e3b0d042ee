"""Signals by the names that people write, and what a process does that gets one."""

from __future__ import annotations

import signal
from enum import Enum, auto
from typing import Final

from luabus.errors import Refused
from luabus.messages import Message


class Effect(Enum):
    """What a signal does to a program that has made no arrangement of its own; services, routers and the dashboard arrange
    for a clean stop on SIGTERM and SIGINT."""

    ENDS = auto()
    STOPS_CLEANLY = auto()
    PAUSES = auto()
    GOES_ON = auto()
    NOTHING = auto()
    PROGRAMS_OWN = auto()


_EFFECTS: Final = {
    "SIGKILL": Effect.ENDS,
    "SIGTERM": Effect.STOPS_CLEANLY,
    "SIGINT": Effect.STOPS_CLEANLY,
    "SIGSTOP": Effect.PAUSES,
    "SIGTSTP": Effect.PAUSES,
    "SIGTTIN": Effect.PAUSES,
    "SIGTTOU": Effect.PAUSES,
    "SIGCONT": Effect.GOES_ON,
    "SIGCHLD": Effect.NOTHING,
    "SIGURG": Effect.NOTHING,
    "SIGWINCH": Effect.NOTHING,
}
USUAL: Final = (
    "SIGTERM",
    "SIGKILL",
    "SIGINT",
    "SIGHUP",
    "SIGQUIT",
    "SIGUSR1",
    "SIGUSR2",
    "SIGSTOP",
    "SIGCONT",
)


def name_of(given: str) -> str:
    """`SIGKILL` from `SIGKILL`, `KILL`, `kill` or `9`; a number without a name stays one. Raises `Refused` for another."""
    text = given.strip().upper()
    if text.isascii() and text.isdigit() and 0 < int(text) < 65:
        try:
            return signal.Signals(int(text)).name
        except ValueError:
            return str(int(text))
    name = text if text.startswith("SIG") else f"SIG{text}"
    if name not in signal.Signals.__members__:
        usual = ", ".join(USUAL)
        raise Refused.coded(Message("effect.there-is-no-signal-usual", given=repr(given), usual=usual))
    return signal.Signals[name].name


def effect_of(name: str) -> Effect:
    """Of a name that `name_of` gave."""
    return _EFFECTS.get(name, Effect.PROGRAMS_OWN)
