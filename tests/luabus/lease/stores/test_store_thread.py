from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from luabus.lease.stores.store_thread import StoreThread


@pytest.fixture
async def worker() -> AsyncIterator[StoreThread]:
    worker = StoreThread("test worker")
    yield worker
    await worker.stop(lambda: None, 5.0)


async def test_what_a_call_returns_or_raises(worker: StoreThread) -> None:
    assert await worker.run(lambda: threading.current_thread().name, 5.0) == "test worker"
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0, 5.0)


async def test_calls_run_in_order_in_one_thread(worker: StoreThread) -> None:
    order: list[int] = []
    await asyncio.gather(
        *(worker.run(lambda number=number: order.append(number), 5.0) for number in range(20))
    )  # type: ignore[misc]
    assert order == list(range(20))


async def test_a_call_that_hangs_costs_its_callers_their_time_and_no_more(worker: StoreThread) -> None:
    begun, let_go = threading.Event(), threading.Event()
    made: list[str] = []

    def hang() -> None:
        begun.set()
        let_go.wait()

    first = asyncio.create_task(worker.run(hang, 1.0))
    await asyncio.to_thread(begun.wait, 5.0)
    queued = worker.run(lambda: made.append("queued"), 1.0)
    for error in await asyncio.gather(first, queued, return_exceptions=True):
        assert isinstance(error, TimeoutError)
        assert "no answer within 1 s" in str(error)
    with pytest.raises(TimeoutError, match="an earlier call hangs since"):
        await worker.run(lambda: made.append("at once"), 0.01)
    let_go.set()
    await worker.run(lambda: made.append("afterwards"), 5.0)
    assert made == ["afterwards"], "what nobody waits for any more is not begun"


async def test_a_cancelled_call_is_not_begun(worker: StoreThread) -> None:
    let_go = threading.Event()
    made: list[str] = []
    first = asyncio.create_task(worker.run(let_go.wait, 5.0))
    second = asyncio.create_task(worker.run(lambda: made.append("second"), 5.0))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    let_go.set()
    assert await first
    await worker.run(lambda: None, 5.0)
    assert made == []


async def test_stop_makes_the_last_call_and_ends_the_thread() -> None:
    worker = StoreThread("test worker that stops")
    made: list[str] = []
    await worker.stop(lambda: made.append("last"), 5.0)
    assert made == ["last"]


async def test_the_last_call_is_made_even_if_nobody_waits_any_more() -> None:
    worker = StoreThread("test worker that is late")
    begun, let_go, made = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        let_go.wait()

    hanging = asyncio.create_task(worker.run(hang, 5.0))
    await asyncio.to_thread(
        begun.wait, 5.0
    )  # one that has not begun when nobody waits for it any more is never made
    hanging.cancel()
    await worker.stop(made.set, 0.01)
    assert not made.is_set()
    let_go.set()
    assert await asyncio.to_thread(made.wait, 5.0)


def test_the_end_of_the_process_does_not_wait_for_it() -> None:
    program = """
import asyncio, threading
from luabus.lease.stores.store_thread import StoreThread
async def main():
    worker = StoreThread("stuck")
    try:
        await worker.run(threading.Event().wait, 0.05)
    except TimeoutError:
        print("timed out")
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "timed out\n"
    assert done.stderr == ""
