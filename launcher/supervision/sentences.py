"""What a process is at this moment, as a sentence: by code, for people."""

from __future__ import annotations

import asyncio

from launcher.supervision.instance import Instance
from launcher.supervision.states import State
from luabus.messages import Message


def sentence_of(instance: Instance, name: str | Message | None = None) -> Message:
    """`name`: what it is called in the sentence; default: its name."""
    called = name or instance.name
    machine = instance.machine
    if instance.shown_state != machine.state:
        return Message(f"told.{instance.shown_state}", name=called)
    match machine.state:
        case State.BACKOFF:
            seconds = machine.restart_in_s(asyncio.get_running_loop().time()) or 0.0
            return Message("told.backoff", name=called, seconds=f"{seconds:.1f}")
        case State.STARTING if machine.waiting and machine.detail is not None:
            return Message("told.waiting", name=called, what=machine.detail)
        case State.EXITED if not machine.wanted:
            return Message("told.stopped", name=called)
        case State.EXITED if machine.completed and instance.spec.rules.job:
            return Message("told.completed", name=called)
        case state:
            return Message(f"told.{state}", name=called)


def it_is(instance: Instance) -> Message:
    """The same where its name was said already."""
    return sentence_of(instance, Message("told.it"))
