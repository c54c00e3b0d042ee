"""What follows the end of a process, said before it: the rules of the launcher's `machine.py` and `policy.py`.

A crash is an end by a signal, with another exit code than 0, or before the process was ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.model.answers import Process
from dashboard.views.signals import Effect
from luabus.messages import Message


@dataclass(frozen=True, slots=True)
class After:
    """One way in which a process may end. `back`: it is started again; `fails`: it is given up."""

    text: Message
    back: bool
    fails: bool = False


def of_signal(process: Process, signal: str, effect: Effect) -> list[After]:
    """The ways in which it ends by a signal that ends it, or may."""
    if process.state == "stopping":
        if process.wanted is False:
            return [After(Message("effect.it-is-being-stopped-already"), back=False)]
        return [After(Message("effect.it-is-on-its-way-down"), back=True)]
    if effect is Effect.ENDS:
        return [_crash(process, Message("effect.it-ends-by-the-signal-which"))]
    if effect is Effect.PROGRAMS_OWN:
        return [_crash(process, Message("effect.if-it-ends-by-the-signal"))]
    if process.state == "starting":
        return [_crash(process, Message("effect.it-is-not-ready-yet"))]
    if process.ours:
        return [_clean(process, Message("effect.it-ends-with-exit-code-0"))]
    # Whether another program handles the signal nobody can tell from outside.
    return [
        _crash(process, Message("effect.a-program-that-does-not-handle")),
        _clean(process, Message("effect.one-that-handles-it-and-ends")),
    ]


def of_silence(process: Process) -> list[After]:
    """What the launcher does with one that stays paused; nothing where it does not look."""
    if process.liveness_timeout_s is None:
        return []
    how = Message(
        "effect.at-no-router-for-s",
        seconds=f"{process.liveness_timeout_s:g}",
    )
    return [_crash(process, how)]


def told(ends: Sequence[tuple[Process, Sequence[After]]]) -> list[Message]:
    """The sentences; those that are the same for all of them without names."""
    found: dict[tuple[Message, ...], list[str]] = {}
    for process, ways in ends:
        found.setdefault(tuple(way.text for way in ways), []).append(process.name)
    sentences = [
        text if len(found) == 1 else Message("effect.names-what", names=", ".join(names), what=text)
        for texts, names in found.items()
        for text in texts
    ]
    sentences += [
        Message("effect.is-essential-when-it-has-failed", name=process.name)
        for process, ways in ends
        if process.essential and any(way.fails for way in ways)
    ]
    return sentences


def _crash(process: Process, how: Message) -> After:
    if not process.restart_policy:
        return _unknown(how)
    if process.restart_policy == "never":
        return _stays(process, how, fails=True)
    if process.restarts_left == 0:
        then = Message("effect.it-has-crashed-too-often-lately")
        return After(Message("effect.how-then", how=how, then=then), back=False, fails=True)
    return _returns(process, how)


def _clean(process: Process, how: Message) -> After:
    if not process.restart_policy:
        return _unknown(how)
    return _returns(process, how) if process.restart_policy == "always" else _stays(process, how)


def _returns(process: Process, how: Message) -> After:
    then = Message("effect.it-is-started-again", policy=process.restart_policy)
    return After(Message("effect.how-then", how=how, then=then), back=True)


def _stays(process: Process, how: Message, *, fails: bool = False) -> After:
    then = Message("effect.it-stays-down-for-its-restart", policy=process.restart_policy)
    return After(Message("effect.how-then", how=how, then=then), back=False, fails=fails)


def _unknown(how: Message) -> After:
    return After(Message("effect.what-follows-its-restart-policy-says", how=how), back=True)
