"""Handlers run: in place while they do not wait, by a task of their own as soon as they do.

A handler that finishes without waiting is run in the callback that received the frame: no task is made for it. So that it cannot
tell the difference (`asyncio.current_task`, `asyncio.timeout` and context variables work), its first step runs in the name of a
spare task, in a copy of the context. If it waits after all, that task is its own from then on and ends with it; if not, the next
handler gets it, unless the last one kept or cancelled it. Handlers start in the order in which their messages came.

A spare task's coroutine has been taken to its first wait before the task is made. So it never is a task that has yet to begin,
which a cancel would end together with the handler that it was given: whatever is told the task reaches the handler.
"""

from __future__ import annotations

import asyncio
import types
from asyncio.tasks import _enter_task, _leave_task  # documented for this: asyncio's "Extending" page
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from contextvars import Context, copy_context
from sys import getrefcount
from typing import Any

from luabus import tasks
from luabus.exception_text import is_a
from luabus.limits import MOMENT_S
from luabus.rpc.context import CallContext, current
from luabus.transport.guard import PLAIN_VALUES, is_work
from luabus.transport.stream import Stream

_Job = tuple[Coroutine[Any, Any, Any], Any, Context, CallContext]
"""A handler that waits, what it yielded in its first step, the context of its steps, and its call."""


class _Worker:
    """A task that is a handler's own, or (`job` is None) a spare one that lends its name."""

    __slots__ = ("is_used", "job", "loop", "park", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.job: _Job | None = None
        self.park: asyncio.Future[None] | None = None
        self.is_used = False
        self.task: asyncio.Task[None]

    @property
    def call(self) -> CallContext | None:
        """The handler's call."""
        return None if self.job is None else self.job[-1]

    def cancel(self) -> None:
        """Cancel the handler."""
        self.task.cancel()

    def go_on(self) -> None:
        """Take the job, or end without one."""
        self.is_used = True
        if self.park is not None and not self.park.done():
            self.park.set_result(None)


class Executor:
    """The handlers of one dispatcher that run. `succeeded(call, value)` or `failed(call, error)` is called once for each, also
    where a handler is cancelled; neither may raise anything.

    `running`: how many wait for something; `awaited`: those of them whose answer somebody awaits, for each stream by
    the caller's service id and sequence.
    """

    def __init__(
        self,
        succeeded: Callable[[CallContext, Any], None],
        failed: Callable[[CallContext, BaseException], None],
    ) -> None:
        self.running = 0
        self.awaited: dict[Stream, dict[tuple[int, int], CallContext]] = {}
        self._succeeded = succeeded
        self._failed = failed
        self._spare: _Worker | None = None
        self._workers: set[_Worker] = set()
        self._idle_waiters: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._workers)

    async def idle(self, besides: Collection[CallContext] = ()) -> None:
        """Wait until no call is running, but the one that asks, which would wait for itself, and `besides`."""
        spared = (current.get(), *besides)
        while any(call not in spared for call in self.calls()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await waiter

    async def close(
        self, timeout_s: float | None = MOMENT_S, besides: Collection[CallContext] = ()
    ) -> list[CallContext]:
        """Cancel what is running, but the call that asks and `besides`, and end the workers; returns the calls that go on after
        `timeout_s` seconds all the same."""
        spared = (current.get(), *besides)
        ending = [worker for worker in self._workers if worker.call is None or worker.call not in spared]
        left = await tasks.end([worker.task for worker in ending], timeout_s)
        return [worker.call for worker in ending if worker.task in left and worker.call is not None]

    def calls(self) -> list[CallContext]:
        """Those that wait for something."""
        return [worker.call for worker in self._workers if worker.call is not None]

    def inside(self) -> CallContext | None:
        """The call of ours that this code is part of, also in a task that its handler has started."""
        task, call = asyncio.current_task(), current.get()
        ours = any(
            worker.task is task or (call is not None and worker.call is call) for worker in self._workers
        )
        return call if ours else None

    def run(self, call: CallContext, args: list[Any]) -> None:
        """Begin with a handler; when this returns it has finished or waits for something."""
        call.method.stats.calls += 1
        context = copy_context()
        try:
            result = context.run(_begin, call, args)
            if type(result) is types.CoroutineType:
                coro: Coroutine[Any, Any, Any] = result
            elif type(result) not in PLAIN_VALUES and is_work(result):
                coro = result if isinstance(result, Coroutine) else _awaited(result)
            else:
                self._succeeded(call, result)
                return
            loop = call.stream.loop
            worker, self._spare = self._spare, None
            if worker is None or worker.loop is not loop:
                worker = self._new_worker(loop)
        except BaseException as error:
            self._failed(call, error)
            return
        task = worker.task
        known = getrefcount(task)
        try:
            _enter_task(loop, task)
            try:
                yielded = context.run(coro.send, None)
            finally:
                _leave_task(loop, task)
            if asyncio.isfuture(yielded):
                # By this mark a task knows that a future was awaited, and clears it: only so may another await the same one.
                yielded._asyncio_future_blocking = False
        except StopIteration as stop:
            self._succeeded(call, stop.value)
        except BaseException as error:
            self._failed(call, error)
        else:
            self._hand_over(worker, (coro, yielded, context, call))
            return
        # A handler that has kept the task, or cancelled it, must not meet the next one's.
        if self._spare is None and getrefcount(task) == known and not task.cancelling():
            self._spare = worker
        else:
            worker.go_on()

    def _new_worker(self, loop: asyncio.AbstractEventLoop) -> _Worker:
        worker = _Worker(loop)
        work = self._work(worker)
        work.send(None)
        worker.task = loop.create_task(work)
        self._workers.add(worker)
        return worker

    def _hand_over(self, worker: _Worker, job: _Job) -> None:
        """The handler waits: from here on `worker` is its own."""
        call = job[-1]
        self.running += 1
        call.method.stats.running += 1
        call.worker = worker
        if call.wanted:
            calls = self.awaited.get(call.stream)
            if calls is None:
                calls = self.awaited[call.stream] = {}
            calls[(call.source, call.sequence)] = call
        worker.job = job
        worker.go_on()

    async def _work(self, worker: _Worker) -> None:
        cancelled: asyncio.CancelledError | None = None
        try:
            try:
                await _begun()
                if not worker.is_used:
                    worker.park = worker.loop.create_future()
                    await worker.park
            except asyncio.CancelledError as error:
                cancelled = error
            if worker.job is not None:
                coro, yielded, context, call = worker.job
                try:
                    result, failure = await _resume(coro, yielded, context, cancelled)
                finally:
                    self._count_out(call)
                self._answer(call, result, failure)
                cancelled = failure if is_a(failure, asyncio.CancelledError) else None
            if cancelled is not None:
                raise cancelled
        finally:
            self._workers.discard(worker)
            if self._spare is worker:
                self._spare = None

    def _answer(self, call: CallContext, result: Any, failure: BaseException | None) -> None:
        if failure is None:
            self._succeeded(call, result)
        elif call.cancelled and is_a(failure, asyncio.CancelledError):
            call.method.stats.cancelled += 1
        else:
            self._failed(call, failure)

    def _count_out(self, call: CallContext) -> None:
        """It does not wait any more."""
        self.running -= 1
        call.method.stats.running -= 1
        call.worker = None
        calls = self.awaited.get(call.stream)
        if calls is not None:
            if calls.get((call.source, call.sequence)) is call:
                del calls[(call.source, call.sequence)]
            if call.stream.is_closed and not calls:
                del self.awaited[call.stream]
        if self._idle_waiters:
            for waiter in self._idle_waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._idle_waiters.clear()


def _begin(call: CallContext, args: list[Any]) -> Any:
    """Run the handler; in a context of its own, which knows the call."""
    current.set(call)
    return call.method.fn(*args)


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


@types.coroutine
def _begun() -> Generator[None, None, None]:
    """Where a worker stands before its task is made."""
    yield


@types.coroutine
def _resume(
    coro: Coroutine[Any, Any, Any], yielded: Any, context: Context, cancelled: BaseException | None
) -> Generator[Any, Any, tuple[Any, BaseException | None]]:
    """Go on with a coroutine whose first step yielded `yielded`, each step in `context`: its result, or what it raised.

    Itself it raises only `GeneratorExit`, when nobody drives it any more.
    """
    error = cancelled
    try:
        if asyncio.isfuture(yielded):
            if error is not None and yielded.cancel():
                error = None  # as asyncio does: what the handler awaits is cancelled, and tells it
            yielded._asyncio_future_blocking = True  # as it was yielded first; see `Executor.run`
    except BaseException as raised:  # a future of the handler's own kind
        error = raised
    while True:
        value = None
        if error is None:
            try:
                value = yield yielded
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as raised:
                error = raised
        try:
            yielded = context.run(coro.send, value) if error is None else context.run(coro.throw, error)
        except StopIteration as stop:
            return stop.value, None
        except BaseException as raised:
            return None, raised
        error = None
