"""What follows the end of a process, said before it: the rules of the launcher's `machine.py` and `policy.py`.

A crash is an end by a signal, with another exit code than 0, or before the process was ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.i18n import Text
from dashboard.model.answers import Process
from dashboard.views.signals import Effect


@dataclass(frozen=True, slots=True)
class After:
    """One way in which a process may end. `back`: it is started again; `fails`: it is given up."""

    text: Text
    back: bool
    fails: bool = False


def of_signal(process: Process, signal: str, effect: Effect) -> list[After]:
    """The ways in which it ends by a signal that ends it, or may."""
    if process.state == "stopping":
        if process.wanted is False:
            return [After(Text("It is being stopped already, and stays down."), back=False)]
        return [After(Text("It is on its way down already: this only ends it sooner."), back=True)]
    if effect is Effect.ENDS:
        return [_crash(process, Text("It ends by the signal, which counts as a crash"))]
    if effect is Effect.PROGRAMS_OWN:
        return [_crash(process, Text("If it ends by the signal, that counts as a crash"))]
    if process.state == "starting":
        return [_crash(process, Text("It is not ready yet, so that its end counts as a crash"))]
    if process.ours:
        return [_clean(process, Text("It ends with exit code 0"))]
    # Whether another program handles the signal nobody can tell from outside.
    return [
        _crash(process, Text("A program that does not handle it ends by it, which counts as a crash")),
        _clean(process, Text("One that handles it and ends with exit code 0 has not crashed")),
    ]


def of_silence(process: Process) -> list[After]:
    """What the launcher does with one that stays paused; nothing where it does not look."""
    if process.liveness_timeout_s is None:
        return []
    how = Text(
        "At no router for {seconds} s it is taken to have hung and is ended, which counts as a crash",
        seconds=f"{process.liveness_timeout_s:g}",
    )
    return [_crash(process, how)]


def told(ends: Sequence[tuple[Process, Sequence[After]]]) -> list[Text]:
    """The sentences; those that are the same for all of them without names."""
    found: dict[tuple[Text, ...], list[str]] = {}
    for process, ways in ends:
        found.setdefault(tuple(way.text for way in ways), []).append(process.name)
    sentences = [
        text if len(found) == 1 else Text("{names}: {what}", names=", ".join(names), what=text)
        for texts, names in found.items()
        for text in texts
    ]
    sentences += [
        Text("{name} is essential: when it has failed, the whole cluster stops.", name=process.name)
        for process, ways in ends
        if process.essential and any(way.fails for way in ways)
    ]
    return sentences


def _crash(process: Process, how: Text) -> After:
    if not process.restart_policy:
        return _unknown(how)
    if process.restart_policy == "never":
        return _stays(process, how, fails=True)
    if process.restarts_left == 0:
        then = Text("it has crashed too often lately, and stays down as failed")
        return After(Text("{how}: {then}.", how=how, then=then), back=False, fails=True)
    return _returns(process, how)


def _clean(process: Process, how: Text) -> After:
    if not process.restart_policy:
        return _unknown(how)
    return _returns(process, how) if process.restart_policy == "always" else _stays(process, how)


def _returns(process: Process, how: Text) -> After:
    then = Text("it is started again, for its restart policy is {policy}", policy=process.restart_policy)
    return After(Text("{how}: {then}.", how=how, then=then), back=True)


def _stays(process: Process, how: Text, *, fails: bool = False) -> After:
    then = Text("it stays down, for its restart policy is {policy}", policy=process.restart_policy)
    return After(Text("{how}: {then}.", how=how, then=then), back=False, fails=fails)


def _unknown(how: Text) -> After:
    return After(Text("{how}: what follows, its restart policy says.", how=how), back=True)
