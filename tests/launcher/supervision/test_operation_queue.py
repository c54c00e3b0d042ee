"""Verbs on one process follow one another; a stop makes void what was asked for before it."""

from __future__ import annotations

import asyncio

from launcher.supervision.operation_queue import OperationQueue
from luabus.messages import Message

STOPPED, REMOVED = Message("report.was-stopped-meanwhile"), Message("report.was-removed-meanwhile")


async def test_turns_at_one_process_follow_one_another_and_other_processes_are_free() -> None:
    queue = OperationQueue()
    first, second, other = queue.enqueue("mail.1"), queue.enqueue("mail.1"), queue.enqueue("mail.2")
    entered = asyncio.Event()

    async def enter() -> None:
        async with second:
            entered.set()

    async with first:
        async with other:
            pass
        task = asyncio.create_task(enter())
        await asyncio.sleep(0)
        assert not entered.is_set()
    await task
    assert entered.is_set()


def test_who_preempts_makes_void_what_came_before_and_nothing_after() -> None:
    queue = OperationQueue()
    before = queue.enqueue("mail.1")
    stop = queue.preempt("mail.1", STOPPED)
    after = queue.enqueue("mail.1")
    assert (before.preempted, stop.preempted, after.preempted) == (STOPPED, None, None)
    queue.preempt("mail.1", REMOVED)
    assert {turn.preempted for turn in (before, stop, after)} == {REMOVED}
    assert queue.enqueue("mail.2").preempted is None


def test_a_lane_is_forgotten_with_the_last_place_in_it() -> None:
    queue = OperationQueue()
    place = queue.enqueue("mail.1")
    queue.preempt("mail.1", STOPPED)
    assert place.preempted
    del place
    assert queue.enqueue("mail.1").preempted is None
