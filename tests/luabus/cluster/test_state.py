from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from luabus.cluster.state import (
    ConnectionState,
    Exit,
    GroupState,
    Process,
    RouterStats,
    Slot,
    of_map,
    worst,
)


def group(*tokens: int, mode: str = "hash", **more: Any) -> GroupState:
    slots = tuple(Slot(f"2.{n}", f"mail.{n}", token) for n, token in enumerate(tokens, 1))
    return GroupState(2, "mail", mode, slots=slots, **more)


def test_what_a_newer_peer_says_besides_is_left_out_and_nothing_changes() -> None:
    row = of_map(ConnectionState, {"router": "router.1", "token": 1, "a newer field": 1})
    with pytest.raises(FrozenInstanceError):
        row.token = 2  # type: ignore[misc]
    assert GroupState.read({"group": 2, "name": "mail"}).slots == ()


def test_what_must_be_there_is_missed() -> None:
    with pytest.raises(TypeError, match="token"):
        of_map(ConnectionState, {"router": "router.1"})


def test_a_state_that_is_none_is_an_error_where_types_are_checked() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Process).validate_python({"name": "mail.1", "state": "sleeping"})


def test_alarms_and_closed_connections_are_read_with_their_router() -> None:
    alarm = {"kind": "epoch", "text": "two masters", "since": 5.0, "count": 2, "a newer field": 1}
    stats = RouterStats.read({"router": "router.1", "alarms": [alarm], "closed": [{"router": "router.1"}]})
    assert (stats.alarms[0].count, stats.closed[0].reason, stats.draining) == (2, "", False)


def test_the_line_of_a_key_has_its_owners_in_order_vacant_ones_too() -> None:
    # Of bucket 0 the order is 3, 1, 2 and of bucket 1 it is 1, 3, 2: see test_buckets.
    for tokens, hashed, names in (
        ((1, 2, 3), 0, ["mail.3", "mail.1", "mail.2"]), ((1, 2, 0), 4096, ["mail.3", "mail.1", "mail.2"]),
        ((1, 2, 3), 1, ["mail.1", "mail.3", "mail.2"]), ((0,), 5, ["mail.1"]), ((), 1, []),
    ):  # fmt: skip
        assert [slot.name for slot in group(*tokens).line(hashed)] == names


def test_owners_are_of_the_live_without_those_away_and_with_those_back() -> None:
    made = group(1, 2, 0)
    assert set(made.owners()) == {"2.1", "2.2"}
    assert set(made.owners(away={"2.1"})) == {"2.2"}
    assert set(made.owners(back={"2.3"})) == {"2.1", "2.2", "2.3"}
    assert set(made.owners(away={"2.1", "2.2"})) == {None}


def test_which_groups_are_asked_by_key() -> None:
    assert [group(1, mode=mode).by_hash for mode in ("hash", "", "random")] == [True, False, False]
    assert GroupState(2, "mail", slots=(Slot("2.1", "mail.1", 1, 1.0),)).by_hash


def test_which_groups_should_have_a_master() -> None:
    groups = [group(1), group(1, mode="master"), group(1, epoch=3), group(1, elected=True)]
    assert [one.mastered for one in groups] == [False, True, True, True]
    assert [one.elects for one in groups] == [False, False, True, True]


def test_what_is_missed_when_it_has_ended() -> None:
    def ended(**more: Any) -> bool:
        return Process(
            **({"name": "x.1", "state": "exited", "wanted": True, "kind": "command"} | more)
        ).missing

    assert ended(daemon=True)
    assert not ended(daemon=False)
    assert not ended(daemon=True, wanted=False)
    assert not ended(daemon=True, state="running")
    assert (ended(), ended(kind="service")) == (False, True)  # of a launcher that does not say


def test_the_first_way_up() -> None:
    ways = [
        Process("x.1", "starting"),
        Process("x.1", "starting", exit=Exit(code=1)),
        Process("x.1", "running"),
    ]
    assert [process.on_its_first_way_up for process in ways] == [True, False, False]


def test_the_group_of_a_process() -> None:
    assert [Process("x", "running", service_id=text).group for text in ("2.1", "0.1", None)] == [
        2,
        None,
        None,
    ]


def test_the_worst_level_counts() -> None:
    assert worst([]) == "ok"
    assert worst(["ok", "bad", "warn"]) == "bad"


def test_what_waits_or_is_done_is_shown_so() -> None:
    waits = Process("app.1", "starting", stuck=True)
    assert (waits.shown_state, waits.on_its_first_way_up) == ("waiting", False)
    job = {"state": "exited", "completed": True, "daemon": False, "wanted": True}
    assert of_map(Process, {"name": "job.1", **job}).shown_state == "done"
    assert of_map(Process, {"name": "job.1", **job, "wanted": False}).shown_state == "exited"
    assert of_map(Process, {"name": "redis.1", **job, "daemon": True}).shown_state == "exited"
