"""Whose turn it is to start or to stop, asked of units that are in the states a test puts them in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from launcher.plan.spec import Kind
from launcher.supervision.scheduler import SLOT_PATIENCE_S, START_SLOTS, nobody_needs, satisfies, whose_turn
from launcher.supervision.states import State

NOW = 100.0


def instance(name: str, state: State = State.STARTING, kind: Kind = Kind.SERVICE, **more: Any) -> Any:
    """What `whose_turn` looks at of a unit, and nothing else of it."""
    service = name.rpartition(".")[0] or name
    alive = state in (State.RUNNING, State.STOPPING) or more.get("spawned_at") is not None
    spec = SimpleNamespace(
        kind=kind,
        service=service,
        depends_on=more.get("depends_on", ()),
        rules=SimpleNamespace(must_report_ready=more.get("must", True)),
    )
    machine = SimpleNamespace(
        waiting=state is State.STARTING and not alive,
        has_process=alive,
        returning=more.get("returning", False),
        wanted=more.get("wanted", True),
    )
    return SimpleNamespace(
        name=name,
        state=state,
        spec=spec,
        machine=machine,
        ready=state is State.RUNNING,
        spawned_at=more.get("spawned_at") or 0.0,
        last_exit=more.get("last_exit"),
    )


def router(state: State = State.RUNNING) -> Any:
    return instance("router.1", state, Kind.ROUTER)


def names(instances: Any) -> list[str]:
    return [one.name for one in instances]


def waits(instances: list[Any]) -> dict[str, str]:
    return {one.instance.name: str(one.why) for one in whose_turn(instances, NOW).waiting}


def stuck(instances: list[Any]) -> list[str]:
    return [one.instance.name for one in whose_turn(instances, NOW).waiting if one.stuck]


def test_routers_first_and_nobody_before_one_is_ready() -> None:
    instances = [router(State.STARTING), instance("mail.1")]
    assert names(whose_turn(instances, NOW).start) == ["router.1"]
    assert waits(instances) == {"mail.1": "waits for a router"}
    assert names(whose_turn([router(), instance("mail.1")], NOW).start) == ["mail.1"]


def test_a_service_waits_for_what_it_depends_on() -> None:
    late = instance("mail.1", depends_on=("db",))
    assert waits([router(), late, instance("db.1", spawned_at=99.0)]) == {
        "mail.1": "waits for db.1 (starting)"
    }
    assert waits([router(), late]) == {"mail.1": "waits for db (which has no instances); scale db up first"}
    assert names(whose_turn([router(), late, instance("db.1", State.RUNNING)], NOW).start) == ["mail.1"]


def test_an_instance_stopped_on_purpose_is_not_waited_for_while_others_serve() -> None:
    late, stopped = instance("mail.1", depends_on=("db",)), instance("db.1", State.EXITED, wanted=False)
    assert names(whose_turn([router(), late, stopped, instance("db.2", State.RUNNING)], NOW).start) == [
        "mail.1"
    ]
    assert waits([router(), late, stopped]) == {"mail.1": "waits for db.1 (exited); start db.1 first"}


@pytest.mark.parametrize(
    ("state", "wanted", "lost"),
    [
        (State.STARTING, True, False),
        (State.BACKOFF, True, False),
        (State.STOPPING, True, False),
        (State.RUNNING, True, False),
        (State.STOPPING, False, True),
        (State.EXITED, False, True),
        (State.EXITED, True, True),
        (State.FAILED, True, True),
    ],
)
def test_who_waits_for_what_does_not_come_by_itself_is_stuck(state: State, wanted: bool, lost: bool) -> None:
    db = instance("db.1", state, wanted=wanted, spawned_at=99.0)
    db.ready = False
    late, later = instance("mail.1", depends_on=("db",)), instance("web.1", depends_on=("mail",))
    instances = [router(), db, late, later]
    assert stuck(instances) == (["mail.1", "web.1"] if lost else [])
    remedy = "; start db.1 first" if lost else ""
    assert waits(instances) == {
        "mail.1": f"waits for db.1 ({state}){remedy}",
        "web.1": f"waits for mail.1 (starting){remedy}",
    }


def test_without_any_router_to_come_all_are_stuck() -> None:
    off = instance("router.1", State.EXITED, Kind.ROUTER, wanted=False)
    assert waits([off, instance("mail.1")]) == {"mail.1": "waits for a router; start router first"}
    assert stuck([off, instance("mail.1")]) == ["mail.1"]


def test_what_comes_back_does_not_wait_again() -> None:
    back = instance("mail.1", depends_on=("db",), returning=True)
    assert names(whose_turn([router(State.STARTING), back], NOW).start) == ["router.1", "mail.1"]


@pytest.mark.parametrize(("code", "done"), [(0, True), (1, False)])
def test_a_task_that_ended_well_satisfies(code: int, done: bool) -> None:
    assert satisfies(instance("setup.1", State.EXITED, must=False, last_exit={"code": code})) is done
    assert not satisfies(instance("mail.1", State.EXITED, last_exit={"code": 0}))


def test_only_so_many_start_at_a_time() -> None:
    busy = [instance(f"busy.{n}", spawned_at=NOW - 1) for n in range(START_SLOTS - 1)]
    turns = whose_turn([router(), *busy, instance("mail.1"), instance("mail.2")], NOW)
    assert names(turns.start) == ["mail.1"]
    assert [(one.instance.name, str(one.why), one.stuck) for one in turns.waiting] == [
        ("mail.2", "waits for its turn", False)
    ]
    assert turns.again_at == NOW - 1 + SLOT_PATIENCE_S


def test_a_slow_starter_holds_its_slot_only_for_a_while() -> None:
    slow = [instance(f"slow.{n}", spawned_at=NOW - SLOT_PATIENCE_S) for n in range(START_SLOTS)]
    assert names(whose_turn([router(), *slow, instance("mail.1")], NOW).start) == ["mail.1"]


def test_what_others_may_depend_on_stops_after_them() -> None:
    dashboard = instance("dashboard", State.RUNNING, Kind.DASHBOARD)
    db, mail = instance("db.1", State.RUNNING), instance("mail.1", State.RUNNING, depends_on=("db",))
    everyone = [router(), dashboard, db, mail]
    assert [one.name for one in everyone if nobody_needs(one.spec, everyone)] == ["mail.1"]
    assert [one.name for one in everyone[:3] if nobody_needs(one.spec, everyone[:3])] == ["db.1"]
    assert nobody_needs(dashboard.spec, everyone[:2])
    assert not nobody_needs(everyone[0].spec, everyone[:2])
    assert nobody_needs(everyone[0].spec, everyone[:1])
