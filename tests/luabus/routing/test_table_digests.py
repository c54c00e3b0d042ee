"""Do the routers agree: what a service tells them, and when it becomes an alarm."""

from __future__ import annotations

from luabus.routing.table_digests import PATIENCE_S, Disagreements, differences
from tests.support.bus import Star
from tests.support.waiting import until

ONE = [("router.2", 2, 111, 222)]


def test_routers_that_agree_are_told_nothing() -> None:
    assert differences({"router.1": {2: 5}, "router.2": {2: 5}}, "router.1") == {}
    assert differences({"router.1": {2: 5}}, "router.1") == {}
    assert differences({}, "router.1") == {}
    assert differences({"router.2": {2: 5}}, "router.1") == {}  # what router.1 has is not known now


def test_a_router_is_told_how_the_others_differ_from_it() -> None:
    digests = {"router.1": {2: 5, 3: 1}, "router.2": {2: 6, 3: 1}, "router.3": {3: 1}}
    assert differences(digests, "router.1") == {"router.2": {2: 6}, "router.3": {2: 0}}
    assert differences(digests, "router.3") == {"router.1": {2: 5}, "router.2": {2: 6}}


def test_a_difference_that_lasts_is_an_alarm() -> None:
    seen = Disagreements()
    now = 0.0
    while now < PATIENCE_S:
        seen.reported(ONE, now)
        assert seen.lasting(now) == []
        now += 1.0
    seen.reported(ONE, now)
    assert seen.lasting(now) == [{"router": "router.2", "group": 2, "for_s": 3.0}]


def test_a_difference_that_passed_before_it_lasted_is_none_while_it_is_remembered() -> None:
    seen = Disagreements()
    seen.reported(ONE, 0.0)
    seen.reported(ONE, 1.0)
    assert seen.lasting(3.2) == []


def test_a_difference_nobody_reports_any_more_is_over() -> None:
    seen = Disagreements()
    for now in (0.0, 1.0, 2.0, 3.0):
        seen.reported(ONE, now)
    assert seen.lasting(5.4)
    assert seen.lasting(5.6) == []
    seen.reported(ONE, 6.0)
    assert seen.lasting(6.0) == []  # it begins anew


def test_tables_that_go_on_changing_are_no_alarm() -> None:
    seen = Disagreements()
    for step in range(20):
        seen.reported([("router.2", 2, step, step + 1)], float(step))
        assert seen.lasting(float(step)) == []


def test_equal_digests_are_no_difference() -> None:
    seen = Disagreements()
    for now in (0.0, 2.0, 4.0):
        seen.reported([("router.2", 2, 7, 7)], now)
    assert seen.lasting(4.0) == []


def test_what_is_kept_is_limited() -> None:
    seen = Disagreements()
    seen.reported((("router.2", group, 1, 2) for group in range(100_000)), 0.0)
    assert len(seen._seen) < 20_000


async def test_routers_that_disagree_for_more_than_three_seconds_raise_an_alarm_that_is_shown() -> None:
    async with Star(2) as star:
        await star.mail(1)
        await star.client()
        star.routers[1].mgr.switch.table.vacate(0x0002_0002)
        star.routers[1].mgr.switch.table.remove(0x0002_0002)

        def alarms() -> str:
            return str(star.routers[0].stats()["alarms"])

        assert alarms() == "[]"
        await until(lambda: "router.2" in alarms(), timeout_s=20.0)


async def test_a_router_that_is_stopped_for_a_while_is_no_disagreement() -> None:
    """Its peers' tables change while it stands still, and nobody takes what it said last for what it says now."""
    async with Star(2) as star:
        bus = await star.client()
        (_, second) = bus._links
        assert second.fresh
        second._digests_at -= 1.5
        second.digests = {2: 999}
        assert not second.fresh
        assert bus._disagreements(bus._links[0]) == bus._disagreements(second) == b""
