"""Who may start and who may stop, asked of records in the states a test puts them in."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProbeSpec, ProcessSpec, ReadyBy
from launcher.supervision.record import InstanceRecord
from launcher.supervision.scheduler import (
    SLOT_PATIENCE_S,
    START_SLOTS,
    has_completed,
    nobody_needs,
    schedule,
    serves,
)
from launcher.supervision.states import State

NOW = 100.0


def instance(
    name: str, state: State = State.STARTING, kind: Kind = Kind.SERVICE, **more: Any
) -> InstanceRecord:
    """A record of an instance in this state; with `spawned_at` it has a process."""
    rules = LifecycleSettings(must_report_ready=more.pop("must", True), job=more.pop("job", False))
    keys = {key: more.pop(key) for key in ("depends_on", "awaits_completion", "probe") if key in more}
    probe = keys.pop("probe", None)
    service = name.rpartition(".")[0] or name
    alive = state in (State.RUNNING, State.STOPPING) or more.get("spawned_at") is not None
    spec = ProcessSpec(name, service, kind, (), {}, "/", rules, ReadyBy.PROBE, ready=probe, **keys)
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
    assert waits([router(), late, stopped]) == {
        "mail.1": "waits for db.1, which does not run; start db.1 first"
    }


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
    found = {
        State.BACKOFF: "db.1, which waits to be restarted",
        State.EXITED: "db.1, which does not run",
        State.FAILED: "db, which failed",
    }.get(state, f"db.1 ({state})")
    assert waits(instances) == {
        "mail.1": f"waits for {found}{remedy}",
        "web.1": f"waits for mail.1 (starting){remedy}",
    }


def test_without_any_router_to_come_all_are_stuck() -> None:
    off = instance("router.1", State.EXITED, Kind.ROUTER, wanted=False)
    assert waits([off, instance("mail.1")]) == {"mail.1": "waits for a router; start router first"}
    assert stuck([off, instance("mail.1")]) == ["mail.1"]


def test_what_comes_back_does_not_wait_again() -> None:
    back = instance("mail.1", depends_on=("db",), returning=True)
    assert list(schedule([router(State.STARTING), back], NOW).start) == ["router.1", "mail.1"]


def test_a_job_that_is_done_serves_and_so_does_what_was_said_in_a_line() -> None:
    assert serves(instance("setup.1", State.EXITED, job=True, completed=True))
    assert not serves(instance("setup.1", State.EXITED, job=True))
    assert serves(instance("said.1", State.EXITED, completed=True, probe=ProbeSpec("log", "up")))
    assert not serves(instance("mail.1", State.EXITED, completed=True, probe=ProbeSpec("tcp", "h:1")))


def test_who_waits_for_a_completion_is_not_content_with_less() -> None:
    needs = {"depends_on": ("migrate",), "awaits_completion": ("migrate",)}
    app, done = instance("app.1", **needs), instance("migrate.1", State.EXITED, job=True, completed=True)
    assert has_completed(done)
    assert list(schedule([router(), app, done], NOW).start) == ["app.1"]
    running = instance("migrate.2", State.RUNNING, job=True)
    assert waits([router(), app, done, running]) == {"app.1": "waits for migrate.2 to complete"}
    failed = instance("migrate.2", State.FAILED, job=True)
    assert waits([router(), app, done, failed]) == {
        "app.1": "waits for migrate.2, which failed; start migrate.2 first"
    }
    assert stuck([router(), app, done, failed]) == ["app.1"]
    assert waits([router(), app, instance("migrate.1", State.FAILED, job=True)]) == {
        "app.1": "waits for migrate, which failed; start migrate.1 first"
    }


def test_what_need_not_report_holds_no_slot() -> None:
    many = [instance(f"w.{n}", spawned_at=NOW - 0.5, must=False) for n in range(START_SLOTS)]
    assert list(schedule([router(), *many, instance("mail.1")], NOW).start) == ["mail.1"]


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
