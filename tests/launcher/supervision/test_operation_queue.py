"""Verbs on one process follow one another; a stop makes void what was asked for before it."""

from __future__ import annotations

import asyncio

from launcher.supervision.operation_queue import OperationQueue
from luabus.messages import Message

STOPPED, REMOVED = Message("report.was-stopped-meanwhile"), Message("report.was-removed-meanwhile")


async def test_places_in_one_lane_follow_one_another_and_other_lanes_are_free() -> None:
    lanes = OperationQueue()
    first, second, other = lanes.place("mail.1"), lanes.place("mail.1"), lanes.place("mail.2")
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


def test_who_overtakes_makes_void_what_came_before_and_nothing_after() -> None:
    lanes = OperationQueue()
    before = lanes.place("mail.1")
    stop = lanes.preempt("mail.1", STOPPED)
    after = lanes.place("mail.1")
    assert (before.preempted, stop.preempted, after.preempted) == (STOPPED, None, None)
    lanes.preempt("mail.1", REMOVED)
    assert {place.preempted for place in (before, stop, after)} == {REMOVED}
    assert lanes.place("mail.2").preempted is None


def test_a_lane_is_forgotten_with_the_last_place_in_it() -> None:
    lanes = OperationQueue()
    place = lanes.place("mail.1")
    lanes.preempt("mail.1", STOPPED)
    assert place.preempted
    del place
    assert lanes.place("mail.1").preempted is None
