"""Handlers run: in place while they do not wait, by a task as soon as they do.

A handler that finishes without waiting is run in the callback that received the frame: no task is made for it. So that it cannot
tell the difference (`asyncio.current_task`, `asyncio.timeout` and context variables work), its first step runs in the name of a
parked worker task, in a copy of the context; if it waits after all, that worker takes it over and becomes a parked one again when
it is done. Handlers start in the order in which their messages came.
"""

from __future__ import annotations

import asyncio
import types
from asyncio.tasks import _enter_task, _leave_task  # documented for this: asyncio's "Extending" page
from collections.abc import Callable, Collection, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from luabus import tasks
from luabus.limits import MOMENT_S
from luabus.rpc.context import CallContext, current

_VALUES = frozenset((type(None), bool, int, float, str, bytes, list, dict))
"""What handlers mostly return."""
_MAX_PARKED = 256


class _Worker:
    """A task that takes over handlers which wait. Parked, it lends its name to handlers that do not."""

    __slots__ = ("call", "cancelled", "ending", "job", "loop", "park", "started", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None]
        self.park: asyncio.Future[None] | None = None
        self.job: tuple[Coroutine[Any, Any, Any], Any, Context, CallContext] | None = None
        self.call: CallContext | None = None
        self.started = self.ending = False
        self.cancelled = False  # the handler it takes over has cancelled itself before

    def cancel(self) -> None:
        """Cancel the handler that it runs, or is about to: `Executor` sees to one that has not begun."""
        if self.started:
            self.task.cancel()


class Executor:
    """The handlers of one dispatcher that run. `succeeded(call, value)` or `failed(call, error)` is called once for each.

    `running`: how many wait for something; `awaited`: those of them whose answer somebody awaits, by the caller's stream token,
    service id and sequence.
    """

    def __init__(
        self,
        succeeded: Callable[[CallContext, Any], None],
        failed: Callable[[CallContext, BaseException], None],
    ) -> None:
        self.running = 0
        self.awaited: dict[tuple[int, int, int], CallContext] = {}
        self._succeeded = succeeded
        self._failed = failed
        self._parked: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._closing = False

    def __len__(self) -> int:
        return len(self._workers)

    async def idle(self, besides: Collection[CallContext] = ()) -> None:
        """Wait until no call is running, but the one that asks, which would wait for itself, and `besides`."""
        asker = current.get()
        while self.running > sum(worker.call is asker or worker.call in besides for worker in self._busy()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await waiter

    async def close(
        self, timeout_s: float | None = MOMENT_S, besides: Collection[CallContext] = ()
    ) -> list[CallContext]:
        """Cancel what is running, but the call that asks and `besides`, and end the workers; returns the calls that go on after
        `timeout_s` seconds all the same."""
        spared = (current.get(), *besides)
        self._closing = True
        for worker in self._workers:
            worker.ending = True
        try:
            left = await tasks.end(
                [worker.task for worker in self._workers if worker.call is None or worker.call not in spared],
                timeout_s,
            )
        finally:
            self._closing = False
        return [worker.call for worker in self._busy() if worker.task in left and worker.call is not None]

    def inside(self) -> CallContext | None:
        """The call of ours that this code is part of, also in a task that its handler has started."""
        task, call = asyncio.current_task(), current.get()
        ours = any(
            worker.task is task or (call is not None and worker.call is call) for worker in self._workers
        )
        return call if ours else None

    def calls(self) -> list[CallContext]:
        """Those that wait for something."""
        return [worker.call for worker in self._busy() if worker.call is not None]

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.call is not None]

    def run(self, call: CallContext, args: list[Any]) -> None:
        """Begin with a handler; when this returns it has finished or waits for something."""
        call.method.stats.calls += 1
        context = copy_context()
        try:
            result = context.run(_begin, call, args)
        except (Exception, asyncio.CancelledError) as error:
            self._failed(call, error)
            return
        kind = type(result)
        # Asking an ABC is slow, so it comes last.
        if kind is not types.CoroutineType and (kind in _VALUES or not isinstance(result, Coroutine)):
            self._succeeded(call, result)
            return
        worker = self._parked.pop() if self._parked else self._new_worker()
        loop, task = worker.loop, worker.task
        _enter_task(loop, task)
        try:
            yielded = context.run(result.send, None)
        except StopIteration as stop:
            self._succeeded(call, stop.value)
        except (Exception, asyncio.CancelledError) as error:
            self._failed(call, error)
        else:
            self._hand_over(worker, result, yielded, context, call)
            return
        finally:
            _leave_task(loop, task)
        # A handler may have cancelled the task in whose name it ran: that one ends, and takes over no other.
        if worker.started and not task.cancelling():
            self._parked.append(worker)

    def _new_worker(self) -> _Worker:
        loop = asyncio.get_running_loop()
        worker = _Worker(loop)
        worker.task = loop.create_task(self._work(worker))
        self._workers.add(worker)
        worker.task.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    def _hand_over(
        self,
        worker: _Worker,
        coro: Coroutine[Any, Any, Any],
        yielded: Any,
        context: Context,
        call: CallContext,
    ) -> None:
        """The handler waits: from here on `worker` really runs it."""
        if asyncio.isfuture(yielded):
            # By this mark a task knows that a future was awaited, and clears it: only so may another await the same one.
            yielded._asyncio_future_blocking = False
        if not worker.started and worker.task.cancelling():  # by the handler; it would end before it begins
            worker = self._new_worker()
            worker.cancelled = True
        self.running += 1
        call.method.stats.running += 1
        call.worker = worker
        worker.call = call
        if call.wanted:
            self.awaited[(call.stream.token, call.source, call.sequence)] = call
        worker.job = (coro, yielded, context, call)
        if worker.park is not None and not worker.park.done():
            worker.park.set_result(None)

    async def _work(self, worker: _Worker) -> None:
        worker.started = True
        try:
            while True:
                cancelled: BaseException | None = asyncio.CancelledError() if worker.cancelled else None
                worker.cancelled = False
                if worker.job is None:
                    if worker not in self._parked:
                        if len(self._parked) >= _MAX_PARKED:
                            return
                        self._parked.append(worker)
                    worker.park = asyncio.get_running_loop().create_future()
                    try:
                        await worker.park
                    except asyncio.CancelledError as error:
                        if worker.job is None or self._closing:
                            raise
                        worker.task.uncancel()
                        cancelled = error
                    worker.park = None
                if worker.job is not None:
                    job, worker.job = worker.job, None
                    await self._finish(worker, *job, cancelled)
                    if worker.ending:
                        return
        finally:
            if worker in self._parked:
                self._parked.remove(worker)

    async def _finish(
        self, worker: _Worker, coro: Coroutine[Any, Any, Any], yielded: Any, context: Context, call: CallContext,
        cancelled: BaseException | None,
    ) -> None:  # fmt: skip
        if call.cancelled and cancelled is None:
            cancelled = asyncio.CancelledError()
        try:
            result = await _resume(coro, yielded, context, cancelled)
        except asyncio.CancelledError as error:
            if not call.cancelled or self._closing:
                self._failed(call, error)
                if worker.task.cancelling():
                    raise  # it is the worker that is to end
            else:
                call.method.stats.cancelled += 1
        except Exception as error:
            self._failed(call, error)
        else:
            self._succeeded(call, result)
        finally:
            if call.cancelled and not self._closing:  # also when the handler made light of it
                while worker.task.cancelling():
                    worker.task.uncancel()
            self.running -= 1
            call.method.stats.running -= 1
            call.worker = worker.call = None
            self.awaited.pop((call.stream.token, call.source, call.sequence), None)
            if self._idle_waiters:
                for waiter in self._idle_waiters:
                    if not waiter.done():
                        waiter.set_result(None)
                self._idle_waiters.clear()


def _begin(call: CallContext, args: list[Any]) -> Any:
    """Run the handler; in a context of its own, which knows the call."""
    current.set(call)
    return call.method.fn(*args)


@types.coroutine
def _resume(
    coro: Coroutine[Any, Any, Any], yielded: Any, context: Context, cancelled: BaseException | None
) -> Generator[Any, Any, Any]:
    """Go on with a coroutine whose first step yielded `yielded`, each step in `context`."""
    error = cancelled
    if error is not None and asyncio.isfuture(yielded) and yielded.cancel():
        error = None  # as asyncio does: what the handler awaits is cancelled, and tells it
    if asyncio.isfuture(yielded):
        yielded._asyncio_future_blocking = True  # as it was yielded first; see `_hand_over`
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
            return stop.value
        error = None
