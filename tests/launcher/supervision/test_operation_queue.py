"""Verbs on one process follow one another; a stop makes void what was asked for before it."""

from __future__ import annotations

import asyncio

from launcher.supervision.operation_queue import OperationQueue


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
    stop = lanes.preempt("mail.1", "was stopped meanwhile")
    after = lanes.place("mail.1")
    assert (before.preempted, stop.preempted, after.preempted) == ("was stopped meanwhile", "", "")
    lanes.preempt("mail.1", "was removed meanwhile")
    assert {place.preempted for place in (before, stop, after)} == {"was removed meanwhile"}
    assert lanes.place("mail.2").preempted == ""


def test_a_lane_is_forgotten_with_the_last_place_in_it() -> None:
    lanes = OperationQueue()
    place = lanes.place("mail.1")
    lanes.preempt("mail.1", "was stopped meanwhile")
    assert place.preempted
    del place
    assert lanes.place("mail.1").preempted == ""
