"""Who may start and who may stop, asked of records in the states a test puts them in."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy
from launcher.supervision.record import InstanceRecord
from launcher.supervision.scheduler import SLOT_PATIENCE_S, START_SLOTS, nobody_needs, satisfies, schedule
from launcher.supervision.states import State

NOW = 100.0


def instance(
    name: str, state: State = State.STARTING, kind: Kind = Kind.SERVICE, **more: Any
) -> InstanceRecord:
    """A record of an instance in this state; with `spawned_at` it has a process."""
    rules = LifecycleSettings(must_report_ready=more.pop("must", True))
    depends_on = more.pop("depends_on", ())
    service = name.rpartition(".")[0] or name
    alive = state in (State.RUNNING, State.STOPPING) or more.get("spawned_at") is not None
    spec = ProcessSpec(name, service, kind, (), {}, "/", rules, ReadyBy.PROBE, depends_on=depends_on)
    values: dict[str, Any] = {
        "ready": state is State.RUNNING,
        "waiting": state is State.STARTING and not alive,
        "has_process": alive,
        **more,
    }
    return InstanceRecord(spec, state, **values)


def router(state: State = State.RUNNING) -> InstanceRecord:
    return instance("router.1", state, Kind.ROUTER)


def waits(instances: list[InstanceRecord]) -> dict[str, str]:
    return {waiting.name: str(waiting.why) for waiting in schedule(instances, NOW).waiting}


def stuck(instances: list[InstanceRecord]) -> list[str]:
    return [waiting.name for waiting in schedule(instances, NOW).waiting if waiting.stuck]


def test_routers_first_and_nobody_before_one_is_ready() -> None:
    instances = [router(State.STARTING), instance("mail.1")]
    assert list(schedule(instances, NOW).start) == ["router.1"]
    assert waits(instances) == {"mail.1": "waits for a router"}
    assert list(schedule([router(), instance("mail.1")], NOW).start) == ["mail.1"]


def test_a_service_waits_for_what_it_depends_on() -> None:
    late = instance("mail.1", depends_on=("db",))
    assert waits([router(), late, instance("db.1", spawned_at=99.0)]) == {
        "mail.1": "waits for db.1 (starting)"
    }
    assert waits([router(), late]) == {"mail.1": "waits for db (which has no instances); scale db up first"}
    assert list(schedule([router(), late, instance("db.1", State.RUNNING)], NOW).start) == ["mail.1"]


def test_an_instance_stopped_on_purpose_is_not_waited_for_while_others_serve() -> None:
    late, stopped = instance("mail.1", depends_on=("db",)), instance("db.1", State.EXITED, wanted=False)
    assert list(schedule([router(), late, stopped, instance("db.2", State.RUNNING)], NOW).start) == ["mail.1"]
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
    db = instance("db.1", state, wanted=wanted, spawned_at=99.0, ready=False)
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
    assert list(schedule([router(State.STARTING), back], NOW).start) == ["router.1", "mail.1"]


@pytest.mark.parametrize(("code", "done"), [(0, True), (1, False)])
def test_a_task_that_ended_well_satisfies(code: int, done: bool) -> None:
    assert satisfies(instance("setup.1", State.EXITED, must=False, last_exit={"code": code})) is done
    assert not satisfies(instance("mail.1", State.EXITED, last_exit={"code": 0}))


def test_only_so_many_start_at_a_time() -> None:
    busy = [instance(f"busy.{n}", spawned_at=NOW - 1) for n in range(START_SLOTS - 1)]
    turns = schedule([router(), *busy, instance("mail.1"), instance("mail.2")], NOW)
    assert list(turns.start) == ["mail.1"]
    assert [(waiting.name, str(waiting.why), waiting.stuck) for waiting in turns.waiting] == [
        ("mail.2", "waits for its turn", False)
    ]
    assert turns.again_at == NOW - 1 + SLOT_PATIENCE_S


def test_a_slow_starter_holds_its_slot_only_for_a_while() -> None:
    slow = [instance(f"slow.{n}", spawned_at=NOW - SLOT_PATIENCE_S) for n in range(START_SLOTS)]
    assert list(schedule([router(), *slow, instance("mail.1")], NOW).start) == ["mail.1"]


def test_what_others_may_depend_on_stops_after_them() -> None:
    dashboard = instance("dashboard", State.RUNNING, Kind.DASHBOARD)
    db, mail = instance("db.1", State.RUNNING), instance("mail.1", State.RUNNING, depends_on=("db",))
    everyone = [record.spec for record in (router(), dashboard, db, mail)]
    assert [spec.name for spec in everyone if nobody_needs(spec, everyone)] == ["mail.1"]
    assert [spec.name for spec in everyone[:3] if nobody_needs(spec, everyone[:3])] == ["db.1"]
    assert nobody_needs(dashboard.spec, everyone[:2])
    assert not nobody_needs(everyone[0], everyone[:2])
    assert nobody_needs(everyone[0], everyone[:1])
