"""A lane for each process: the verbs on it follow one another, and those that a stop overtakes give way.

A verb takes its place in the lanes of all it concerns when it is asked for, and enters each when it comes to that process. A
stop (or the removal of the process) takes effect at once instead of queueing behind a start that may wait long: whoever
took a place before it learns from `Place.overtaken` that what it waits for will not come.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from weakref import WeakValueDictionary

from luabus.messages import Message


class OperationQueue:
    """The lanes by process name; one exists as long as somebody has a place in it."""

    def __init__(self) -> None:
        self._lanes: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    def place(self, name: str) -> Place:
        """The last place in the lane of this process."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Queue()
        return Place(name, lane)

    def preempt(self, name: str, why: Message) -> Place:
        """As `place`; all that have one already are told `why`."""
        place = self.place(name)
        place.push_by(why)
        return place


class Place:
    """One verb's place in the lane of the process `name`. `async with place:` waits until the lane is free."""

    def __init__(self, name: str, lane: _Queue) -> None:
        self.name = name
        self._lane = lane
        self._seen = lane.times

    @property
    def preempted(self) -> Message | None:
        """Why what was asked for is void, such as that it was stopped meanwhile; None while it holds."""
        return self._lane.why if self._lane.times != self._seen else None

    def push_by(self, why: Message) -> None:
        """Makes void whatever has a place already, except this one."""
        self._lane.times += 1
        self._lane.why = why
        self._seen = self._lane.times

    async def __aenter__(self) -> None:
        await self._lane.lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lane.lock.release()


class _Queue:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.times = 0
        """How often somebody overtook the others."""
        self.why: Message | None = None
