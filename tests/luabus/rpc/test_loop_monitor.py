"""Who held the loop up."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from luabus.rpc import loop_monitor
from luabus.rpc.loop_monitor import Activity, Culprit, LoopMonitor
from luabus.transport import loops
from tests.support.streams import Served
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_monitor, "BEAT_S", 0.2)
    monkeypatch.setattr(loop_monitor, "_LOOK_S", 0.1)
    monkeypatch.setattr(loop_monitor, "BLOCKED_S", 0.8)


@pytest.fixture
async def told(caplog: pytest.LogCaptureFixture) -> Any:
    monitor = LoopMonitor.acquire()
    yield lambda: [record.message for record in caplog.records if record.name == "luabus.loop"]
    monitor.release()


async def test_a_handler_is_named_with_the_time_it_took(told: Any) -> None:
    async with Served() as pair:
        pair.handlers.rpc(lambda: time.sleep(1.2), name="nap")
        await pair.client.request("nap")
        await until(told)
    (text,) = told()
    assert text.startswith("nap held the event loop for 1.2 s: test_loop_monitor.py, line ")


async def test_a_hook_is_named_and_any_other_function(told: Any) -> None:
    def hook() -> None:
        _doing = Activity("on_start")
        time.sleep(1.2)

    for blocks in (hook, other):
        count = len(told())
        asyncio.get_running_loop().call_soon(blocks)
        await until(lambda count=count: len(told()) > count)
    first, second = told()
    assert first.startswith("the event loop was blocked for 1.2 s (in on_start): test_loop_monitor.py, line ")
    assert "other)" in second


def other() -> None:
    time.sleep(1.2)


@pytest.mark.parametrize(
    ("make", "after_s", "blocks"),
    [
        (asyncio.new_event_loop, 0.02, other),  # just after a beat
        (loops.new_event_loop, 0.18, other),  # just before one
        (asyncio.new_event_loop, 0.18, partial(time.sleep, 1.2)),  # nobody's
    ],
)
def test_what_is_no_handler_is_told_with_its_true_length(
    make: Callable[[], asyncio.AbstractEventLoop],
    after_s: float,
    blocks: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monitor = LoopMonitor.acquire()
        asyncio.get_running_loop().call_later(after_s, blocks)
        await asyncio.sleep(after_s + 0.01)
        await until(lambda: caplog.records)
        monitor.release()

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    (record,) = caplog.records
    told = re.match(r"the event loop was blocked for (\d\.\d) s", record.message)
    assert told, record.message
    assert abs(float(told[1]) - 1.2) <= 0.11
    assert ("(in other)" in record.message) == (blocks is other)


async def test_a_loop_that_runs_is_never_told_of(told: Any) -> None:
    for _ in range(15):
        await asyncio.sleep(0.05)
        time.sleep(0.1)  # noqa: ASYNC251 - as a handler that computes a little
    assert told() == []


async def test_one_for_each_loop_and_no_thread_when_nobody_has_use_for_it() -> None:
    before = threading.active_count()
    monitors = [LoopMonitor.acquire() for _ in range(3)]
    assert len(set(map(id, monitors))) == 1
    assert threading.active_count() == before + 1
    for monitor in monitors:
        monitor.release()
    assert threading.active_count() == before


async def test_what_is_lost_when_the_loop_runs_again_was_lost_by_its_standing_still(told: Any) -> None:
    monitor = LoopMonitor.acquire()
    assert not monitor.was_blocked()
    time.sleep(1.3)  # noqa: ASYNC251
    assert monitor.was_blocked()
    await until(told)
    assert monitor.was_blocked()
    monitor.release()


def test_a_loop_that_waits_is_nobodys_doing(caplog: pytest.LogCaptureFixture) -> None:
    frame = sys._getframe()
    found = Culprit.found_in(frame)
    assert not found.is_handler
    assert found.name == "test_a_loop_that_waits_is_nobodys_doing"
    with caplog.at_level(logging.WARNING):
        loop = asyncio.new_event_loop()
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
    assert caplog.records == []
