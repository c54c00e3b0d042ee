"""Alarms about what goes wrong again and again."""

from __future__ import annotations

from luabus.messages import Message
from luabus.router.repetitions import Repetitions

GATEWAY = Message("alarm.forbidden", caller="gateway", callee="mail")
CLIENT = Message("alarm.forbidden", caller="client", callee="mail")


def alarms(counted: Repetitions, now: float) -> list[tuple[str, int]]:
    return [(run.message.values["caller"], run.count) for run in counted.lasting(now)]


def test_ten_within_a_minute_are_an_alarm_until_a_minute_was_quiet() -> None:
    counted = Repetitions()
    assert not any(counted.noted(GATEWAY, "forbidden", float(second), least=10) for second in range(9))
    assert alarms(counted, 9.0) == []
    assert counted.noted(GATEWAY, "forbidden", 9.0, least=10)
    assert not counted.noted(GATEWAY, "forbidden", 10.0, least=10)
    assert alarms(counted, 69.0) == [("gateway", 11)]
    assert alarms(counted, 71.0) == []


def test_slow_ones_are_none() -> None:
    counted = Repetitions()
    assert not any(counted.noted(GATEWAY, "forbidden", 7.0 * n, least=10) for n in range(100))


def test_many_at_once_count_each() -> None:
    counted = Repetitions()
    assert counted.noted(GATEWAY, "forbidden", 0.0, times=10_000, least=10)
    assert alarms(counted, 0.0) == [("gateway", 10_000)]


def test_each_caller_has_its_own() -> None:
    counted = Repetitions()
    for _ in range(5):
        counted.noted(GATEWAY, "forbidden", 0.0, least=10)
        counted.noted(CLIENT, "forbidden", 0.0, least=10)
    assert alarms(counted, 0.0) == []
    counted.noted(CLIENT, "forbidden", 0.0, times=5, least=10)
    assert alarms(counted, 0.0) == [("client", 10)]


def test_it_keeps_a_thousand_messages_at_most() -> None:
    counted = Repetitions()
    for number in range(1500):
        counted.noted(Message("alarm.join-refused", name=str(number), why="x"), "group", 0.0)
    assert len(counted.lasting(0.0)) == 1000
