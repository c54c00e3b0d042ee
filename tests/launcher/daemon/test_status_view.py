"""A row of `processes` from what the supervisor holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from launcher.daemon.status_view import keys_by_name, process_row
from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy
from launcher.processes.usage import Usage
from launcher.supervision.record import ByHand
from launcher.supervision.states import State
from luabus.cluster.snapshot import RouterState, Snapshot
from luabus.cluster.state import GroupState, Slot
from luabus.messages import Message


def instance(
    state: State = State.RUNNING,
    *,
    wanted: bool = True,
    exit: Any = None,
    by_hand: ByHand | None = None,
    **more: Any,
) -> Any:
    spec = ProcessSpec(
        **{
            "name": "x.1", "service": "x", "kind": Kind.SERVICE, "argv": ("x",), "env": {"PASSWORD": "p"}, "cwd": "/",
            "rules": LifecycleSettings(), "ready_by": ReadyBy.BUS, "group": 2, "liveness_timeout": 3.5, **more,
        }
    )  # fmt: skip
    return SimpleNamespace(
        spec=spec,
        ready=True,
        run=None,
        pid=7,
        by_hand=by_hand,
        uptime_s=1.23456,
        last_exit=exit,
        machine=SimpleNamespace(
            state=state,
            wanted=wanted,
            detail=Message.verbatim("why"),
            restarts=1,
            rules=spec.rules,
            stuck=False,
            completed=False,
            restart_in_s=lambda now: None,
            restarts_left=lambda now: 4,
        ),
        log=SimpleNamespace(file=SimpleNamespace(problem="", lost_lines=0)),
    )


def test_a_row_says_what_the_supervisor_holds_and_no_environment() -> None:
    row = process_row(instance(), Usage())
    assert (row.name, row.service_id, row.kind, row.state, row.ready_by) == (
        "x.1",
        "2.1",
        "service",
        "running",
        "bus",
    )
    assert (row.uptime_s, row.liveness_timeout_s, row.restart_policy, row.exit) == (
        1.235,
        3.5,
        "on-failure",
        None,
    )
    assert "p" not in (row.command, row.cwd, row.detail)


def test_what_ended_says_how() -> None:
    ended = {"code": 1, "signal": None, "text": "exit code 1", "time": "now", "stderr": ["oops"]}
    row = process_row(instance(State.EXITED, exit=ended), Usage())
    assert row.exit is not None
    assert (row.exit.code, str(row.exit), list(row.exit.stderr)) == (1, "exit code 1", ["oops"])


def test_what_somebody_did_by_hand_is_told_with_who() -> None:
    row = process_row(instance(State.EXITED, wanted=False, by_hand=ByHand("stopped", "ann")), Usage())
    assert (row.held, row.held_by) == ("stopped", "ann")
    assert process_row(instance(), Usage()).held is None


def test_what_is_no_job_is_a_daemon() -> None:
    job = process_row(instance(kind=Kind.COMMAND, rules=LifecycleSettings(job=True)), Usage())
    assert (job.daemon, process_row(instance(), Usage()).daemon) == (False, True)


def test_the_keys_of_groups_by_hash_are_those_of_members_and_a_vacancy_has_none() -> None:
    slots = (Slot("2.1", "mail.1", 7, 1.0), Slot("2.2", "mail.2", 0, 0.0))
    groups = (
        GroupState(2, "mail", "hash", slots=slots),
        GroupState(3, "web", slots=(Slot("3.1", "web.1", 8),)),
    )
    router = RouterState("router.1", "127.0.0.1:7070", True, 0.0, groups)
    assert keys_by_name(Snapshot("demo", 0.0, (router,))) == {"mail": {"mail.1": 1.0, "mail.2": None}}
