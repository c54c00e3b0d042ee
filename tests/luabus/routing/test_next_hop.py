"""What becomes of a frame, by its route and the table."""

from __future__ import annotations

import pytest

from luabus.errors import LuabusError, NoMaster, NoRoute, Overloaded, ProtocolError
from luabus.ids import ServiceId
from luabus.limits import MAX_OUTSTANDING
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Kind, make_route
from luabus.protocol.port import Port
from luabus.routing.buckets import BUCKETS, in_line
from luabus.routing.next_hop import (
    ANSWER,
    BROADCAST,
    DIRECT,
    HASH,
    LOCAL,
    PLAIN,
    RANDOM,
    TRACKED,
    WITH_META,
    Plan,
    describe_route,
    make_plan,
    why_refused,
)
from luabus.routing.sinks import NO_MASTER_NOW, NOBODY
from luabus.routing.table import Table

MAIL = 2
ONE, TWO, THREE = (ServiceId.of(MAIL, instance) for instance in (1, 2, 3))
CALLER = Port(9, 1000)
FIRST, THIRD = Port(1, 1000), Port(3, 1000)
FIRST.id, THIRD.id = ONE, THREE

TARGET_ONE = make_route(Kind.TARGET, destination=ONE)


@pytest.fixture
def table() -> Table[Port]:
    """Three entries; the second is vacant, the third is the master."""
    table: Table[Port] = Table()
    table.put(ONE, FIRST)
    table.vacate(TWO)
    table.put(THREE, THIRD)
    table.set_master(THREE)
    return table


def to(kind: Kind, flags: int = 0, group: int = MAIL) -> int:
    return make_route(kind, flags, group)


@pytest.mark.parametrize(
    ("route", "plan"),
    [
        (TARGET_ONE, (DIRECT, FIRST, 0, PLAIN)),
        (to(Kind.RANDOM), (RANDOM, (FIRST, THIRD), 2, PLAIN)),
        (to(Kind.BROADCAST), (BROADCAST, (FIRST, THIRD), 0, PLAIN)),
        (to(Kind.MASTER), (DIRECT, THIRD, 0, PLAIN)),
        (to(Kind.MASTER, FLAG_REQUEST | FLAG_META), (DIRECT, THIRD, 0, TRACKED)),
        (to(Kind.MASTER, FLAG_META), (DIRECT, THIRD, 0, WITH_META)),
        (make_route(Kind.REPLY, destination=CALLER.id), (ANSWER, CALLER, 0, PLAIN)),
        (make_route(Kind.REPLY), (LOCAL, None, 0, PLAIN)),
        (make_route(Kind.CALL), (LOCAL, None, 0, PLAIN)),
        (make_route(Kind.CANCEL), (LOCAL, None, 0, PLAIN)),
    ],
)
def test_where_a_frame_goes(table: Table[Port], route: int, plan: Plan) -> None:
    assert make_plan(route, table, {CALLER.id: CALLER}) == plan


def test_a_key_goes_to_the_owner_of_its_bucket(table: Table[Port]) -> None:
    mode, where, count, care = make_plan(to(Kind.HASH), table, {})
    assert (mode, count, care) == (HASH, BUCKETS, PLAIN)
    ports = {ONE: FIRST, THREE: THIRD}
    assert where == tuple(ports[in_line(bucket, [ONE, THREE])[0]] for bucket in range(BUCKETS))


@pytest.mark.parametrize(
    ("route", "nowhere"),
    [
        (make_route(Kind.TARGET, destination=TWO), NOBODY),
        (to(Kind.HASH, group=7), NOBODY),
        (to(Kind.RANDOM, group=7), NOBODY),
        (to(Kind.MASTER, group=7), NO_MASTER_NOW),
    ],
)
def test_a_frame_that_nobody_takes_goes_where_it_is_counted(
    table: Table[Port], route: int, nowhere: Port
) -> None:
    assert make_plan(route, table, {}) == (DIRECT, nowhere, 0, PLAIN)


def test_a_broadcast_to_nobody_and_an_answer_to_one_who_left(table: Table[Port]) -> None:
    assert make_plan(to(Kind.BROADCAST, group=7), table, {}) == (BROADCAST, (), 0, PLAIN)
    assert make_plan(make_route(Kind.REPLY, destination=5), table, {}) == (ANSWER, None, 0, PLAIN)


def test_a_kind_that_there_is_not_is_a_protocol_error(table: Table[Port]) -> None:
    with pytest.raises(ProtocolError):
        make_plan(0xEE, table, {})


@pytest.mark.parametrize(
    ("goal", "size", "sequence", "error"),
    [
        (FIRST, 1000, 1, None),
        (FIRST, 1001, 1, Overloaded("2.1 does not read: 1000 bytes are left of its buffer, the request has 1001")),
        (NOBODY, 10, 1, NoRoute("nobody is there for target 2.1")),
        (NO_MASTER_NOW, 10, 1, NoMaster("group 0 has no master now")),
        (FIRST, 10, 5, ProtocolError("sequence 5 is still in flight")),
    ],
)  # fmt: skip
def test_why_a_request_is_refused(goal: Port, size: int, sequence: int, error: LuabusError | None) -> None:
    caller = Port(8, 1000)
    caller.outstanding[5] = FIRST
    refusal = why_refused(Table(), caller, goal, TARGET_ONE, sequence, size, goal.credit)
    assert (type(refusal), str(refusal)) == (type(error), str(error))


def test_a_caller_with_too_many_requests_in_flight_is_refused_the_next() -> None:
    caller = Port(8, 1000)
    caller.outstanding.update(dict.fromkeys(range(MAX_OUTSTANDING), FIRST))
    refusal = why_refused(Table(), caller, FIRST, TARGET_ONE, MAX_OUTSTANDING, 10, FIRST.credit)
    assert isinstance(refusal, Overloaded)
    assert (refusal.what, refusal.limit) == ("requests in flight", MAX_OUTSTANDING)


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (TARGET_ONE, "target 2.1"),
        (to(Kind.HASH), "hash over group 2"),
        (to(Kind.RANDOM), "random in group 2"),
        (to(Kind.BROADCAST), "broadcast to group 2"),
        (to(Kind.MASTER), "master of group 2"),
    ],
)
def test_routes_in_words(route: int, words: str) -> None:
    unnamed: Table[Port] = Table()
    assert describe_route(route, unnamed) == words
    unnamed.describe(2, name="mail")
    assert describe_route(route, unnamed) == words.replace("2.1", "mail.1").replace("group 2", "group mail")
