from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dashboard.collector.time_series import WINDOWS, History, Ring, Window, starts
from tests.dashboard.cluster import ScriptedCluster, snapshot_of

NOW = 1_800_000_000.0


def test_a_ring_keeps_the_means_of_the_newest_steps() -> None:
    ring = Ring(Window(5, 4))
    for at, value in ((0, 1.0), (1, 3.0), (5, 10.0), (16, 7.0)):
        ring.add(at, value)
    assert ring.read(16) == [2.0, 10.0, None, 7.0]
    assert ring.read(21) == [10.0, None, 7.0, None]
    ring.add(20, 1.0)
    assert ring.read(20) == [10.0, None, 7.0, 1.0]
    assert ring.read(1000) == [None] * 4


def test_a_counter_becomes_a_rate_and_begins_anew_with_its_process() -> None:
    history = History()
    for at, total, uptime_s in ((0, 100, 40), (5, 150, 45), (10, 3, 1), (15, 13, 6)):
        history.count(("messages", "router.1"), NOW + at, total, uptime_s)
    values = history.read("messages", "15m", NOW + 15)["router.1"]
    assert values[-3:] == [10.0, None, 2.0]


def test_looks_that_follow_each_other_closely_do_not_bend_a_rate() -> None:
    """100 messages a second, and 10 more at once that one of the looks falls upon."""
    history = History()
    uptimes = [0.0, 1.0, 1.05, 1.1, 2.0, 2.9, 3.0, 4.0, 5.0]
    for uptime_s in uptimes:
        total = round(100 * uptime_s) + (10 if uptime_s > 1.0 else 0)
        history.count(("messages", "router.1"), NOW + 0.5 + uptime_s / 2, total, uptime_s)
    values = history.read("messages", "15m", NOW + 4)["router.1"]
    assert values[-1] == pytest.approx(510 / 5)
    assert history.latest(NOW + 4)["messages"]["router.1"] == 100.0


def test_a_rate_is_by_the_counting_processs_clock_however_late_its_answer_comes() -> None:
    history = History()
    history.count(("messages", "router.1"), NOW, 0, 10.0)
    history.count(("messages", "router.1"), NOW + 3.0, 100, 11.0)  # two seconds on its way
    assert history.latest(NOW + 3)["messages"]["router.1"] == 100.0


def test_both_windows_are_filled_and_cover_what_they_say() -> None:
    history = History()
    for at in range(0, 600, 5):
        history.sample(("load", "router.1"), NOW + at, 50.0)
    assert sum(value is not None for value in history.read("load", "15m", NOW + 599)["router.1"]) == 120
    assert history.read("load", "1d", NOW + 599)["router.1"][-5:] == [50.0] * 5
    for name, seconds in (("15m", 900), ("1d", 86_400)):
        window = WINDOWS[name]
        assert window.step_s * window.kept == seconds
        at = starts(name, NOW)
        assert (len(at), at[-1] - at[0]) == (window.kept, seconds - window.step_s)


async def test_a_look_fills_the_series_of_routers_and_processes() -> None:
    history = History()
    steps: list[int] = []
    history.subscribe(lambda: steps.append(1))
    snapshot = await snapshot_of(ScriptedCluster())
    history.look(snapshot, snapshot)
    figures: dict[str, dict[str, Any]] = {"router.1": {"messages_in": 510, "cpu_s": 0.5}, "router.2": {}}
    routers = [
        replace(router, stats=replace(router.stats, uptime_s=5.0, **figures[router.name]))
        for router in snapshot.routers
        if router.stats is not None
    ]
    later = replace(snapshot, at=snapshot.at + 5, routers=tuple(routers))
    history.look(snapshot, later)
    latest = history.latest(later.at)
    assert latest["messages"] == {"router.1": 100.0, "router.2": 0.0}
    assert latest["load"]["router.1"] == 10.0
    assert latest["round trip"] == {"p50": 0.2, "p99": 0.2}
    assert latest["memory"]["mail.1"] == 1 << 20
    assert len(steps) == 2
    assert history.latest(later.at + 60) == {}


async def test_what_is_gone_for_a_day_is_dropped() -> None:
    history = History()
    snapshot = await snapshot_of(ScriptedCluster())
    history.look(snapshot, snapshot)
    empty = replace(snapshot, at=snapshot.at + 90_000, processes=(), routers=(), connections=())
    history.look(snapshot, empty)
    assert history.read("memory", "1d", empty.at) == {}
