"""Verbs on one process follow one another; a stop makes void what was asked for before it."""

from __future__ import annotations

import asyncio

from launcher.lanes import Lanes


async def test_places_in_one_lane_follow_one_another_and_other_lanes_are_free() -> None:
    lanes = Lanes()
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
    lanes = Lanes()
    before = lanes.place("mail.1")
    stop = lanes.overtake("mail.1", "was stopped meanwhile")
    after = lanes.place("mail.1")
    assert (before.overtaken, stop.overtaken, after.overtaken) == ("was stopped meanwhile", "", "")
    lanes.overtake("mail.1", "was removed meanwhile")
    assert {place.overtaken for place in (before, stop, after)} == {"was removed meanwhile"}
    assert lanes.place("mail.2").overtaken == ""


def test_a_lane_is_forgotten_with_the_last_place_in_it() -> None:
    lanes = Lanes()
    place = lanes.place("mail.1")
    lanes.overtake("mail.1", "was stopped meanwhile")
    assert place.overtaken
    del place
    assert lanes.place("mail.1").overtaken == ""
