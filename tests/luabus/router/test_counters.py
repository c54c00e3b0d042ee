"""What a router remembers, without a router: over streams that were never connected."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from luabus.errors import ProtocolError
from luabus.messages import Message, of_map
from luabus.protocol import codec
from luabus.router import counters as luabus_records
from luabus.router.counters import Counters
from luabus.transport.manager import SocketMgr
from luabus.transport.security import NO_SECURITY
from luabus.transport.stream import Stream


@pytest.fixture
async def mgr() -> AsyncIterator[SocketMgr]:
    mgr = SocketMgr(10)
    yield mgr
    await mgr.close()


def stream(mgr: SocketMgr, **counters: int) -> Stream:
    made = mgr.new_stream(NO_SECURITY.acceptor())
    for name, value in counters.items():
        setattr(made, name, value)
    return made


async def test_totals_are_those_of_the_open_connections_and_of_all_before(mgr: SocketMgr) -> None:
    records = Counters("router.1")
    former, present = stream(mgr, frames_in=3, bytes_in=300), stream(mgr, frames_in=4, frames_out=5)
    former.count_lost("no_route", 0, 2)
    present.count_lost("no_route", 0)
    records.gone(former)
    expected = {
        "messages_in": 7,
        "messages_out": 5,
        "bytes_in": 300,
        "bytes_out": 0,
        "undeliverable": {"no_route": 3},
    }
    assert records.totals([present]) == expected
    assert records.totals([present]) == expected  # asking counts nothing


async def test_the_last_200_closed_connections_are_kept(mgr: SocketMgr) -> None:
    records = Counters("router.1")
    for _ in range(250):
        records.note_closed(stream(mgr), "closed by peer")
    assert len(records.closed) == 200
    assert [records.closed[0]["token"], records.closed[-1]["token"]] == [51, 250]
    assert records.closed[0]["reason"] == "closed by peer"


def test_the_same_alarm_again_is_counted_and_at_most_100_are_kept() -> None:
    records = Counters("router.1")
    claim = Message("alarm.epoch-claimed", name="2.1", epoch=3, group=2, holder="2.2", highest=3)
    records.alarm(claim, "epoch")
    records.alarm(claim, "epoch")
    (alarm,) = records.alarms({})
    assert (alarm["kind"], of_map(alarm), alarm["text"], alarm["count"]) == ("epoch", claim, str(claim), 2)
    for number in range(150):
        records.alarm(Message.verbatim(f"alarm {number}"), "epoch")
    assert len(records.alarms({})) == 100
    assert records.alarms({})[-1]["text"] == "alarm 149"


async def test_a_services_problem_is_an_alarm_until_it_is_over_or_its_connection_ends(mgr: SocketMgr) -> None:
    records = Counters("router.1")
    one, two = stream(mgr), stream(mgr)
    records.problem(one, Message("alarm.lease-store-unreachable", since="then", reason="refused").as_map())
    records.problem(two, "x" * 9999)
    since = records.alarms({})[0]["since"]
    records.problem(one, "the lease store is still down")
    assert [(alarm["code"], alarm["kind"]) for alarm in records.alarms({})] == [
        ("alarm.of-service", "service")
    ] * 2
    problems = [str(alarm["values"]["problem"]["values"]["text"]) for alarm in records.alarms({})]
    assert (problems[0], len(problems[1])) == ("the lease store is still down", 500)
    assert records.alarms({})[0]["since"] == since
    records.problem(one, "")
    records.gone(two)
    assert records.alarms({}) == []


@pytest.mark.parametrize("said", [5, [1], {"router.2": 1}, {"router.2": {"mail": 1}}, {"router.2": {2: "x"}}])
def test_a_ping_that_says_something_else_is_no_protocol(said: object) -> None:
    with pytest.raises(ProtocolError, match="a PING whose body is not"):
        Counters("router.1").differences(codec.pack_value(said), {2: 7})


def test_a_difference_is_no_alarm_at_once() -> None:
    records = Counters("router.1")
    records.differences(codec.pack_value({"router.2": {2: 8}}), {2: 7})
    assert records.alarms({2: "mail"}) == []


def test_both_routers_say_a_difference_in_the_same_words_as_long_as_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = 100.0
    monkeypatch.setattr(luabus_records, "time", SimpleNamespace(monotonic=lambda: at, time=time.time))
    first, second = Counters("router.1"), Counters("router.2")
    seen = []
    for _ in range(10):
        at += 1.0
        first.differences(codec.pack_value({"router.2": {2: 8}}), {2: 7})
        second.differences(codec.pack_value({"router.1": {2: 7}}), {2: 8})
        seen += [alarm["text"] for records in (first, second) for alarm in records.alarms({2: "mail"})]
    assert len(seen) > 4
    assert set(seen) == {"router.1 and router.2 have different tables for group mail"}
