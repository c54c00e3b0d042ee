"""Handlers run: in place while they do not wait, by a worker afterwards; in order, cancelled, ended; over a real stream."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import Any

import pytest

import luabus
from luabus.errors import RemoteError, RequestTimeout
from luabus.rpc.context import caller
from tests.support.streams import Served
from tests.support.waiting import until


async def test_a_handler_that_does_not_wait_is_answered_in_place_and_makes_no_task() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def quick(number: int) -> int:
            return number

        await served.client.request("quick", 0)
        before = asyncio.all_tasks()
        seen: set[Any] = set()
        served.handlers.rpc(lambda: len(asyncio.all_tasks() - before), name="new_tasks")
        for number in range(50):
            assert await served.client.request("quick", number) == number
            seen |= asyncio.all_tasks() - before
        assert await served.client.request("new_tasks") == 0
        assert not seen


async def test_a_handler_cannot_tell_that_its_first_step_runs_in_place() -> None:
    """`current_task`, `timeout`, `TaskGroup` and context variables work before and after it waits, and name one task."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    async with Served() as served:

        @served.handlers.rpc
        async def look() -> list[Any]:
            first = asyncio.current_task()
            variable.set("mine")
            async with asyncio.timeout(5):
                async with asyncio.TaskGroup() as group:
                    part = group.create_task(asyncio.sleep(0, "part"))
            assert asyncio.current_task() is first
            return [first is not None, variable.get(), part.result(), int(caller())]

        for _ in range(3):
            assert await served.client.request("look") == [True, "mine", "part", served.client.source]
        assert variable.get() == "unset"


async def test_a_time_out_in_the_first_step_works() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def slow() -> str:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(60)
            except TimeoutError:
                return "timed out"
            return "not"

        assert await served.client.request("slow") == "timed out"


async def test_handlers_start_in_the_order_in_which_their_messages_came() -> None:
    async with Served() as served:
        started: list[int] = []

        @served.handlers.rpc
        async def note(number: int) -> None:
            started.append(number)
            if number % 3 == 0:
                await asyncio.sleep(0.001 * (number % 7))

        for number in range(200):
            served.client.call("note", number)
        served.handlers.rpc(lambda: None, name="last")
        await served.client.request("last")
        assert started == list(range(200))


async def test_a_handler_that_waits_may_finish_after_one_that_started_later() -> None:
    async with Served() as served:
        log: list[str] = []
        go_on = asyncio.Event()

        @served.handlers.rpc
        async def work(name: str, wait: bool) -> None:
            log.append(f"{name} starts")
            if wait:
                await go_on.wait()
            log.append(f"{name} ends")

        first = asyncio.create_task(served.client.request("work", "first", True))
        await until(lambda: log)
        await served.client.request("work", "second", False)
        go_on.set()
        await first
        assert log == ["first starts", "second starts", "second ends", "first ends"]


async def test_many_handlers_may_wait_for_one_future() -> None:
    async with Served() as served:
        shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        @served.handlers.rpc
        async def wait() -> str:
            return await shared

        requests = asyncio.gather(*(served.client.request("wait") for _ in range(5)))
        await until(lambda: served.handlers.running == 5)
        shared.set_result("done")
        assert await requests == ["done"] * 5


async def test_each_of_many_waiting_handlers_gets_its_own_answer() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def wait(number: int) -> int:
            await asyncio.sleep(0.001 * (number % 10))
            return number

        assert await asyncio.gather(*(served.client.request("wait", n) for n in range(400))) == list(
            range(400)
        )


@pytest.mark.parametrize("how", ["plain", "at once", "later"])
async def test_a_handler_that_raises_cancelled_error_by_itself_is_an_error(how: str) -> None:
    async with Served() as served:

        def plain() -> None:
            raise asyncio.CancelledError

        async def fails() -> None:
            if how == "later":
                await asyncio.sleep(0)
            raise asyncio.CancelledError

        served.handlers.rpc(plain if how == "plain" else fails, name="fails")
        served.handlers.rpc(lambda: "fine", name="fine")
        for _ in range(3):
            with pytest.raises(RemoteError, match="CancelledError"):
                await served.client.request("fails")
        assert await served.client.request("fine") == "fine"


@pytest.mark.parametrize("waits_first", [False, True])
@pytest.mark.parametrize("waits_after", [False, True])
async def test_a_handler_that_cancels_itself_is_an_error_and_the_next_one_is_not(
    waits_first: bool, waits_after: bool
) -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def give_up() -> str:
            if waits_first:
                await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            if waits_after:
                await asyncio.sleep(0.01)
            return "not cancelled yet"

        @served.handlers.rpc
        async def fine(number: int) -> int:
            await asyncio.sleep(0)
            return number

        for number in range(5):
            if waits_after:
                with pytest.raises(RemoteError, match="CancelledError"):
                    await served.client.request("give_up", timeout=5.0)
            else:
                assert await served.client.request("give_up", timeout=5.0) == "not cancelled yet"
            assert await served.client.request("fine", number) == number
        assert await asyncio.gather(*(served.client.request("fine", n) for n in range(10))) == list(range(10))
        for number in range(
            5
        ):  # in one chunk: the next handler starts before the loop has seen the cancelling
            served.client.call("give_up")
            assert await served.client.request("fine", number) == number


async def test_a_caller_that_gives_up_cancels_the_handler() -> None:
    async with Served() as served:
        events: asyncio.Queue[str] = asyncio.Queue()

        @served.handlers.rpc
        async def work() -> None:
            events.put_nowait("started")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                events.put_nowait("cancelled")
                raise

        task = asyncio.create_task(served.client.request("work"))
        assert await events.get() == "started"
        task.cancel()
        assert await events.get() == "cancelled"
        await served.handlers.idle()
        assert served.handlers.methods["work"].stats.cancelled == 1
        with pytest.raises(RequestTimeout):
            await served.client.request("work", timeout=0.02)
        assert [await events.get(), await events.get()] == ["started", "cancelled"]


async def test_a_callers_connection_that_ends_cancels_its_handlers_alone() -> None:
    async with Served() as served:
        other, other_server, _, _ = await served.connect()
        served.handlers.serve(other_server)
        events: asyncio.Queue[str] = asyncio.Queue()
        go_on = asyncio.Event()

        @served.handlers.rpc
        async def work(name: str) -> str:
            events.put_nowait("started")
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                events.put_nowait(f"cancelled {name}")
                raise
            return name

        stays = asyncio.create_task(served.client.request("work", "stays"))
        goes = asyncio.create_task(other.request("work", "goes"))
        assert [await events.get(), await events.get()] == ["started", "started"]
        other.close()
        assert await events.get() == "cancelled goes"
        with pytest.raises(luabus.PeerLost):
            await goes
        go_on.set()
        assert await stays == "stays"


async def test_a_handler_that_puts_its_cancelling_off_is_left_to_it_and_nobody_gets_an_answer() -> None:
    async with Served() as served:
        done = asyncio.Event()

        @served.handlers.rpc
        async def stubborn() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                done.set()
            return "too late"

        with pytest.raises(RequestTimeout):
            await served.client.request("stubborn", timeout=0.02)
        await done.wait()
        await served.handlers.idle()
        served.handlers.rpc(lambda: "fine", name="fine")
        assert await served.client.request("fine") == "fine"


async def test_workers_are_kept_for_the_next_ones_and_not_without_limit() -> None:
    async with Served() as served:
        go_on = asyncio.Event()
        served.handlers.rpc(go_on.wait, name="wait")
        waiting = [asyncio.create_task(served.client.request("wait")) for _ in range(1000)]
        await until(lambda: served.handlers.running == 1000)
        go_on.set()
        await asyncio.gather(*waiting)
        assert served.handlers.running == 0
        assert len(served.handlers._workers) <= 256


async def test_closing_ends_what_is_running_and_leaves_no_task() -> None:
    async with Served() as served:
        started, ended = asyncio.Event(), asyncio.Event()

        @served.handlers.rpc
        async def work() -> None:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        task = asyncio.create_task(served.client.request("work"))
        await started.wait()
        await served.handlers.close()
        assert ended.is_set()
        with pytest.raises(RemoteError, match="CancelledError"):
            await task
        gc.collect()
