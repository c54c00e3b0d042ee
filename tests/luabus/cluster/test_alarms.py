"""Many alarms, few findings."""

from __future__ import annotations

from typing import Any

from luabus.cluster.alarms import MergedAlarm, merged_alarms
from luabus.cluster.snapshot import RouterState
from luabus.cluster.state import Alarm, RouterStats


def router(name: str, *alarms: Alarm) -> RouterState:
    return RouterState(name, "", True, 1.0, stats=RouterStats(router=name, alarms=alarms))


def complaint(name: str, since: str = "12:00", **values: Any) -> Alarm:
    values = {"name": name, "since": since, "why": "no disk", **values}
    return Alarm("service", f"{name}: {values['why']} since {since}", 5.0, 1, "x.store", values)


def test_an_outage_that_every_router_repeats_for_every_candidate_is_one_alarm() -> None:
    told = [complaint("director.2", "12:01"), complaint("director.1")]
    (alarm,) = merged_alarms([router("router.1", *told), router("router.2", *reversed(told))])
    assert alarm.message.values == {"name": "director.1, director.2", "since": "12:01", "why": "no disk"}
    assert (alarm.about, alarm.kind) == ("director.2", "service")


def test_of_many_names_the_first_are_told() -> None:
    (alarm,) = merged_alarms([router("router.1", *(complaint(f"m.{n}") for n in range(1, 9)))])
    assert alarm.message.values["name"].values == {"names": "m.1, m.2, m.3, m.4, m.5", "more": 3}


def test_what_is_said_otherwise_is_another_alarm() -> None:
    alarms = merged_alarms([router("router.1", complaint("m.1"), complaint("m.1", why="no memory"))])
    assert [alarm.message.values["why"] for alarm in alarms] == ["no disk", "no memory"]


def test_without_a_code_the_text_tells_what_is_the_same() -> None:
    odd, two = Alarm("odd", "something", since=7.0), Alarm("master", "two masters", since=3.0)
    one, other = merged_alarms([router("router.1", two), router("router.2", odd, two)])
    assert [str(alarm.message) for alarm in (one, other)] == [
        "router.1, router.2: two masters", "router.2: something",
    ]  # fmt: skip
    assert (one.about, one.since) == ("router.1", 3.0)


def test_a_difference_of_tables_names_the_routers_itself() -> None:
    differ = Alarm("tables differ", "router.1 and router.2 differ")
    (alarm,) = merged_alarms([router("router.1", differ), router("router.2", differ)])
    assert str(alarm.message) == "router.1 and router.2 differ"


def test_without_any_there_is_none() -> None:
    no_alarms: list[MergedAlarm] = merged_alarms([router("router.1"), RouterState("router.2", "", False)])
    assert no_alarms == []
