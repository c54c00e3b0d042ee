"""A queue for each process: the verbs on it follow one another, and those that a stop preempts give way.

A verb is enqueued at all the processes it concerns when it is asked for, and waits for its turn when it comes to one. A
stop (or the removal of the process) takes effect at once instead of queueing behind a start that may wait long: whoever
was enqueued before it learns from `Turn.preempted` that what it waits for will not come.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from weakref import WeakValueDictionary

from luabus.messages import Message


class OperationQueue:
    """The queues by process name; one exists as long as somebody is in it."""

    def __init__(self) -> None:
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    def enqueue(self, name: str) -> Turn:
        """The last turn at this process."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue()
        return Turn(name, queue)

    def preempt(self, name: str, why: Message) -> Turn:
        """As `enqueue`; all that are there already are told `why`."""
        turn = self.enqueue(name)
        turn.preempt_others(why)
        return turn


class Turn:
    """One verb's turn at the process `name`; `async with turn:` waits for it."""

    def __init__(self, name: str, queue: _Queue) -> None:
        self.name = name
        self.note: Message | None = None
        """What whoever asked should know of it, though it came about."""
        self._queue = queue
        self._seen = queue.times

    @property
    def preempted(self) -> Message | None:
        """Why what was asked for is void, such as that it was stopped meanwhile; None while it holds."""
        return self._queue.why if self._queue.times != self._seen else None

    def preempt_others(self, why: Message) -> None:
        """Makes void whatever was enqueued before."""
        self._queue.times += 1
        self._queue.why = why
        self._seen = self._queue.times

    async def __aenter__(self) -> None:
        await self._queue.lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.lock.release()


class _Queue:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.times = 0
        """How often the others were preempted."""
        self.why: Message | None = None
