"""Every call ends once, and no slot is lost, whatever cancels what and when: counted after 100,000 random cancellations."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from luabus.rpc.context import CallContext
from luabus.rpc.executor import Executor
from luabus.rpc.signatures import Method
from tests.support.loops import BOTH_LOOPS
from tests.support.streams import Served
from tests.support.waiting import until

CALLS = 50_000
LENGTHS = (0, 0, -1, 0.0005, 0.001, 0.003)


async def _fails(after_s: float) -> None:
    await asyncio.sleep(after_s)
    raise ValueError


async def handler(kind: int, limit_s: float, work_s: float) -> Any:
    """One of the ways in which a handler may cancel itself, or be cancelled by what it started."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    match kind:
        case 0:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(work_s)
        case 1:
            await asyncio.wait_for(asyncio.sleep(work_s), limit_s)
        case 2:
            async with asyncio.TaskGroup() as group:
                group.create_task(_fails(work_s))
                await asyncio.sleep(limit_s)
        case 3:
            task.cancel()
            await asyncio.sleep(0)
        case 4:
            task.cancel()
        case 5:
            loop.call_soon(task.cancel)
            await asyncio.sleep(limit_s)
        case 6:  # left behind, for whoever has the task then
            loop.call_later(max(0.0, limit_s), task.cancel)
        case 7:
            try:
                await asyncio.sleep(limit_s)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        case 8:
            future = loop.create_future()
            future.cancel()
            await future
        case _:
            await asyncio.sleep(limit_s)
    return kind


class _Stream:
    token = 1
    is_closed = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop


async def _run(chance: random.Random) -> None:
    ended = [0] * CALLS

    def end(call: CallContext, result: object) -> None:
        ended[call.sequence] += 1

    executor = Executor(end, end)
    loop = asyncio.get_running_loop()
    stream: Any = _Stream(loop)
    method = Method("handler", handler)

    def begin(sequence: int) -> None:
        call = CallContext(stream, 7, sequence, method, True, (0, 0, None))
        executor.run(call, [chance.randrange(10), chance.choice(LENGTHS), chance.choice((0, 0.0005, 0.002))])
        if call.worker is None:
            return
        how, cancel = chance.randrange(8), call.worker.cancel
        if how == 0:  # the caller waits no longer
            call.cancelled = True
            cancel()
        elif how == 1:
            loop.call_soon(cancel)
        elif how == 2:
            loop.call_later(chance.choice((0, 0.001, 0.002)), cancel)
        elif how == 3:
            cancel()

    for sequence in range(CALLS):
        loop.call_soon(begin, sequence)
        if chance.random() < 0.05:
            if chance.random() < 0.1:
                loop.call_soon(time.sleep, 0.001)  # timers are due before tasks that have yet to begin
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    await executor.idle()
    assert executor.running == method.stats.running == 0
    assert not any(executor.awaited.values())
    assert set(ended) <= {0, 1}
    assert ended.count(0) == method.stats.cancelled > 0
    assert method.stats.calls == CALLS
    await executor.close()
    assert len(executor) == 0


@BOTH_LOOPS
def test_no_call_is_lost_whatever_cancels_it(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(_run(random.Random(12)))


@BOTH_LOOPS
def test_a_timer_that_is_due_before_the_handlers_task_has_begun_loses_nothing(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """uvloop runs due timers before callbacks that are ready."""

    async def main() -> None:
        async with Served() as served:

            @served.handlers.rpc
            async def patient() -> str:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(60)
                return "not"

            served.handlers.rpc(lambda: time.sleep(0.03), name="block")
            answers = [served.client.request(name, timeout=5) for name in ("patient", "patient", "block")]
            first, second, _ = await asyncio.gather(*answers, return_exceptions=True)
            assert [first.type, second.type] == ["TimeoutError"] * 2  # type: ignore[union-attr]
            assert served.handlers.running == 0

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


async def test_a_cancel_that_was_left_behind_meets_no_other_handler() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def leaves() -> None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(0.01, task.cancel)

        @served.handlers.rpc
        async def waits() -> str:
            await asyncio.sleep(0.03)
            return "fine"

        await served.client.request("leaves")
        assert await served.client.request("waits") == "fine"


async def test_what_a_handler_waits_for_may_refuse_to_be_cancelled() -> None:
    class Future(asyncio.Future[None]):
        def cancel(self, msg: Any = None) -> bool:
            raise RuntimeError("not now")

    async with Served() as served:
        futures: list[Future] = []

        @served.handlers.rpc
        async def waits() -> str:
            futures.append(Future())
            await futures[0]
            return "fine"

        asking = asyncio.ensure_future(served.client.request("waits"))
        await until(lambda: futures)
        asking.cancel()
        served.handlers.rpc(lambda: "here", name="ping")
        assert await served.client.request("ping") == "here"
        assert served.client.is_open
        futures[0].set_result(None)
        await until(lambda: not served.handlers.running)
