"""The rules of the one verdict, each as a cluster that is well but for one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from luabus.cluster.control_client import NOT_LAUNCHED
from luabus.cluster.health import (
    SLOW_READER_BYTES,
    assess,
    ending,
    launcher_silent,
    ordinal,
    process_level,
)
from luabus.cluster.snapshot import RouterState, Snapshot
from luabus.cluster.state import (
    Alarm,
    ConnectionState,
    Exit,
    GroupState,
    Launcher,
    Process,
    RouterStats,
    Slot,
)
from luabus.messages import Message

NOW = 1000.0
TTL = 10.0
OVER = {"state": "exited", "pid": None, "exit": Exit(code=0, text="exit code 0")}
BY_ANN = {"state": "exited", "pid": None, "wanted": False, "held": "stopped", "held_by": "ann"}
FIRST = {"state": "starting", "detail": "not ready yet", "ready": False}

Change = Callable[[Snapshot], Snapshot]


def process(name: str, service_id: str | None, kind: str = "service", **more: Any) -> Process:
    values: dict[str, Any] = {
        "name": name, "service": name.partition(".")[0], "service_id": service_id, "kind": kind, "state": "running",
        "ready": True, "ready_by": "bus" if kind == "service" else "probe", "wanted": True, "daemon": True, "pid": 7,
        "restart_policy": "on-failure",
    }  # fmt: skip
    return Process(**(values | more))


def table(*tokens: int, master: str | None = "1.1") -> tuple[GroupState, ...]:
    """Two directors, one of them master by lease, and three slots of mail with these tokens."""
    mail = tuple(Slot(f"2.{n}", f"mail.{n}", token, n - 1) for n, token in enumerate(tokens, 1))
    directors = (Slot("1.1", "director.1", 21), Slot("1.2", "director.2", 22))
    return (
        GroupState(1, "director", "master", elected=True, master=master, epoch=4, slots=directors),
        GroupState(2, "mail", "hash", slots=mail),
    )


def well() -> Snapshot:
    routers = tuple(RouterState(f"router.{n}", "", True, NOW, table(11, 12, 13)) for n in (1, 2))
    processes = (
        process("router.1", "0.1", "router"), process("router.2", "0.2", "router"),
        process("director.1", "1.1"), process("director.2", "1.2"),
        process("mail.1", "2.1"), process("mail.2", "2.2"), process("mail.3", "2.3"),
        process("redis.1", None, "command"), process("job.1", None, "command", daemon=False, ready_by="spawn"),
    )  # fmt: skip
    return Snapshot(
        "demo",
        NOW,
        routers,
        processes=processes,
        launcher=Launcher(pid=1, groups={"director": 1, "mail": 2}, lease_ttl_s=TTL),
    )


def with_processes(names: str, **change: Any) -> Change:
    chosen = names.split()

    def apply(snapshot: Snapshot) -> Snapshot:
        rows = (
            replace(row, **change) if {row.name, row.service} & set(chosen) else row
            for row in snapshot.processes
        )
        return replace(snapshot, processes=tuple(rows))

    return apply


def with_tables(*tables: tuple[GroupState, ...]) -> Change:
    def apply(snapshot: Snapshot) -> Snapshot:
        pairs = zip(snapshot.routers, tables * 2, strict=False)
        return replace(snapshot, routers=tuple(replace(router, groups=groups) for router, groups in pairs))

    return apply


def with_routers(*names: str, **change: Any) -> Change:
    def apply(snapshot: Snapshot) -> Snapshot:
        routers = (replace(one, **change) if one.name in names else one for one in snapshot.routers)
        return replace(snapshot, routers=tuple(routers))

    return apply


def lasting(what: str, seconds: float) -> Change:
    return lambda snapshot: replace(snapshot, since={what: NOW - seconds})


def without(service: str) -> Change:
    return lambda snapshot: replace(
        snapshot, processes=tuple(row for row in snapshot.processes if row.service != service)
    )


def raising(alarm: Alarm) -> Change:
    return with_routers("router.1", "router.2", stats=RouterStats(router="", alarms=(alarm,)))


def waiting(size: int) -> Change:
    row = ConnectionState("router.1", 12, "2.2", "mail.2", pending_bytes=size)
    return lambda snapshot: replace(snapshot, connections=(row,))


def foreign() -> Change:
    rows = tuple(ConnectionState("router.1", 10 + n, f"2.{n}", f"mail.{n}") for n in (1, 2, 3))
    return lambda snapshot: with_tables(table(11, 11, 13))(replace(snapshot, connections=rows))


NOBODY = "health.nobody-serves-group"
NO_ROUTER = "health.no-router-answers"
MASTERLESS = "health.group-has-no-master"
STOPPED = "health.was-stopped-by"
VACANT = "health.group-has-of-slots-vacant"
DIFFER = "health.and-have-different-tables-for-group"
NOT_READY = "health.runs-but-is-not-ready-why"

RULES: dict[str, tuple[tuple[Change, ...], str, list[tuple[str, str]]]] = {
    # --- bad
    "no router answers": (
        (with_routers("router.1", "router.2", connected=False),), "bad", [(NO_ROUTER, "")],
    ),
    "all routers were stopped by hand, and nobody is ready": (
        (
            with_routers("router.1", "router.2", connected=False), with_processes("router", **BY_ANN),
            with_processes("director mail", ready=False),
        ),
        "bad", [(NO_ROUTER, ""), (STOPPED, "router")],
    ),
    "a group has no member": (
        (with_tables(table(0, 0, 0)), with_processes("mail", ready=False)),
        "bad", [(NOBODY, "mail"), *[(NOT_READY, f"mail.{n}") for n in (1, 2, 3)]],
    ),
    "a group of which nobody ever came": (
        (with_tables(table()[:1]), with_processes("mail", state="backoff", pid=None)),
        "bad", [(NOBODY, "mail"), *[("health.is-restarting-for-the-time", f"mail.{n}") for n in (1, 2, 3)]],
    ),
    "one was stopped by hand, and the others are away": (
        (
            with_tables(table(0, 0, 0)), with_processes("mail.1", **BY_ANN),
            with_processes("mail.2 mail.3", state="failed", exit=Exit(code=3), pid=None),
        ),
        "bad",
        [
            (NOBODY, "mail"), (STOPPED, "mail.1"), ("health.has-failed-name-why", "mail.2"),
            ("health.has-failed-name-why", "mail.3"),
        ],
    ),
    "an election does not end": (
        (with_tables(table(11, 12, 13, master=None)), lasting("masterless.1", TTL + 3.1)),
        "bad", [(MASTERLESS, "director")],
    ),
    "a group that elects its master never had one": (
        (
            lambda s: with_tables(
                tuple(replace(g, epoch=0) if g.name == "director" else g for g in table(11, 12, 13, master=None))
            )(s),
            lasting("masterless.1", TTL + 3.1),
        ),
        "bad", [(MASTERLESS, "director")],
    ),
    "an essential process has failed": (
        (with_processes("redis", state="failed", essential=True, pid=None),), "bad", [("health.has-failed", "redis.1")],
    ),
    "the launcher does not answer": (
        (lambda s: replace(s, launcher_error=Message("health.stopping")), with_processes("mail", state="failed")),
        "bad", [("health.the-launcher-does-not-answer", "launcher")],
    ),
    "there is no router at all": (
        (lambda s: replace(s, routers=()),), "bad", [("health.no-router-is-configured", "")],
    ),
    # --- warn
    "there is no launcher": (
        (lambda s: replace(s, launcher_error=Message(NOT_LAUNCHED), processes=()),), "warn", [(NOT_LAUNCHED, "launcher")],
    ),
    "one of many has failed": (
        (with_tables(table(11, 0, 13)), with_processes("mail.2", state="failed", pid=None)),
        "warn", [("health.has-failed", "mail.2")],
    ),
    "one waits to restart": (
        (with_tables(table(11, 0, 13)), with_processes("mail.2", state="backoff", restarts=2, pid=None)),
        "warn", [("health.is-restarting-for-the-time", "mail.2")],
    ),
    "one is at no router": (
        (with_tables(table(11, 0, 13)), with_processes("mail.2", ready=False)), "warn", [(NOT_READY, "mail.2")],
    ),
    "a probe fails": ((with_processes("redis", ready=False),), "warn", [("health.runs-but-is-not-ready", "redis.1")]),
    "a slot is vacant": ((with_tables(table(11, 0, 13)),), "warn", [(VACANT, "mail")]),
    "an entry points elsewhere": ((foreign(),), "warn", [("health.the-entry-of-points", "mail.2")]),
    "a reader is slow": ((waiting(SLOW_READER_BYTES),), "warn", [("health.reads-slowly-wait", "mail.2")]),
    "routers go on to disagree": (
        (with_tables(table(11, 12, 13), table(11, 0, 13)), lasting("differing.2", 1.1)), "warn", [(DIFFER, "mail")],
    ),
    "a difference is said once, whoever sees it": (
        (
            with_tables(table(11, 12, 13), table(11, 0, 13)), lasting("differing.2", 1.1),
            raising(Alarm("tables differ", "they differ", 5.0, 1, "x", {"group": "mail"})),
        ),
        "warn", [(DIFFER, "mail")],
    ),
    "a lease store is out of reach": (
        (raising(Alarm("service", "no store", 5.0, 1, "x.store", {"service": "director.1"})),),
        "warn", [("health.alarm", "director.1")],
    ),
    "one router is away": (
        (with_routers("router.2", connected=False), with_processes("router.2", ready=False)),
        "warn", [("health.does-not-answer", "router.2")],
    ),
    "one router stops": (
        (with_routers("router.2", stats=RouterStats(router="router.2", draining=True)),),
        "warn", [("health.is-stopping", "router.2")],
    ),
    "one router has just started": (
        (with_routers("router.1", groups=()), with_processes("mail director", ready=False)),
        "warn", [("health.has-just-started-no-service", "router.1")],
    ),
    "a probed command has ended with success": (
        (with_processes("redis", **OVER),), "warn", [("health.has-ended-and-stays-down", "redis.1")],
    ),
    "a service has ended with success": (
        (with_tables(table(11, 0, 13)), with_processes("mail.2", **OVER)),
        "warn", [("health.has-ended-and-stays-down", "mail.2")],
    ),
    "one instance was stopped by hand": (
        (with_tables(table(11, 0, 13)), with_processes("mail.2", **BY_ANN)), "warn", [(STOPPED, "mail.2")],
    ),
    "a whole group was stopped by hand": (
        (with_tables(table(0, 0, 0)), with_processes("mail", **BY_ANN)), "warn", [(STOPPED, "mail")],
    ),
    "two people stopped a group": (
        (
            with_tables(table(0, 0, 0)), with_processes("mail", **BY_ANN),
            with_processes("mail.3", held="stopped", held_by="bob"),
        ),
        "warn", [(STOPPED, "mail.1"), (STOPPED, "mail.2"), (STOPPED, "mail.3")],
    ),
    "one is being restarted": (
        (with_tables(table(11, 0, 13)), with_processes("mail.2", state="stopping", detail="restarted")),
        "warn", [("health.is-stopping-to-start-again", "mail.2")],
    ),
    "the cluster starts": (
        (
            with_routers("router.1", "router.2", connected=False, groups=()), with_processes("router mail", **FIRST),
        ),
        "warn",
        [("health.is-starting", name) for name in ("router.1", "router.2", "mail.1", "mail.2", "mail.3")],
    ),
    "a group comes up": (
        (with_tables(table(0, 0, 0)), with_processes("mail", **FIRST)),
        "warn", [("health.is-starting", f"mail.{n}") for n in (1, 2, 3)],
    ),
    "the cluster stops": (
        (
            lambda s: replace(s, launcher=replace(s.launcher, stopping=True)), with_processes("mail", **OVER),
        ),
        "warn", [("health.the-cluster-stops", "")],
    ),
    "a log cannot be written": (
        (with_processes("mail.2", log_problem="No space left"),), "warn", [("health.the-log-cannot-be-written", "mail.2")],
    ),
    # --- ok
    "all is there": ((), "ok", []),
    "a job is done": ((with_processes("job", **OVER),), "ok", []),
    "a group was scaled to none": ((without("mail"), with_tables(table(0, 0, 0))), "ok", []),
    "one was scaled away": (
        (
            lambda s: replace(s, processes=tuple(p for p in s.processes if p.name != "mail.3")),
            with_tables(table(11, 12, 0)),
        ),
        "ok", [],
    ),
    "an election is on": (
        (with_tables(table(11, 12, 13, master=None)), lasting("masterless.1", TTL + 2.9)), "ok", [],
    ),
    "routers are about to agree": (
        (with_tables(table(11, 12, 13), table(11, 12, 13, master=None)), lasting("differing.1", 0.9)), "ok", [],
    ),
    "a busy reader": ((waiting(SLOW_READER_BYTES - 1),), "ok", []),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_the_rules(rule: str) -> None:
    changes, level, found = RULES[rule]
    snapshot = well()
    for change in changes:
        snapshot = change(snapshot)
    health = assess(snapshot)
    assert (health.level, [(finding.code, finding.about) for finding in health.findings]) == (level, found)


@pytest.mark.parametrize(
    ("rule", "state", "sentence"),
    [
        ("all is there", "healthy", "Healthy: 9 processes run, 2 routers agree."),
        ("no router answers", "down", "Down: no router answers."),
        ("a whole group was stopped by hand", "degraded", "Degraded: mail was stopped by ann."),
        (
            "one is at no router",
            "degraded",
            "Degraded: mail.2 runs, but is not ready: it is registered at no router.",
        ),
        (
            "a group comes up",
            "starting",
            "Starting: mail.1 is starting: it is registered at no router; mail.2 is starting: it is registered at no "
            "router; mail.3 is starting: it is registered at no router.",
        ),
        (
            "a probed command has ended with success",
            "degraded",
            "Degraded: redis.1 has ended (exit code 0) and stays down, for its restart policy is on-failure.",
        ),
        ("the cluster stops", "stopping", "Stopping: the cluster is on its way down."),
        ("one router has just started", "degraded",
         "Degraded: router.1 has just started: no service is registered there yet."),
    ],
)  # fmt: skip
def test_the_state_and_the_sentence(rule: str, state: str, sentence: str) -> None:
    snapshot = well()
    for change in RULES[rule][0]:
        snapshot = change(snapshot)
    health = assess(snapshot)
    assert (health.state, str(health.sentence)) == (state, sentence)


def test_the_first_three_are_named_and_the_rest_is_counted() -> None:
    snapshot = with_processes("mail redis", state="backoff", pid=None)(well())
    snapshot = with_processes("director.1", state="failed", essential=True, exit=Exit(code=3))(snapshot)
    health = assess(snapshot)
    assert str(health.sentence) == (
        "Down: director.1 has failed: exit code 3; mail.1 is restarting for the 1st time; "
        "mail.2 is restarting for the 1st time; and 2 more."
    )


def test_where_it_is_not_registered_is_told() -> None:
    snapshot = with_tables(table(11, 12, 13), table(11, 0, 13))(well())
    (finding,) = assess(with_processes("mail.2", ready=False)(snapshot)).findings
    assert str(finding.message) == "mail.2 runs, but is not ready: it is not registered at router.2"


def test_a_vacant_slot_of_somebody_elses_group_is_told_and_so_is_its_emptiness() -> None:
    alone = replace(well(), processes=(), launcher=Launcher())
    (finding,) = assess(with_tables(table(11, 0, 13))(alone)).findings
    assert (finding.level, finding.code) == ("warn", VACANT)
    (finding,) = assess(with_tables(table(0, 0, 0))(alone)).findings
    assert (finding.level, finding.code) == ("bad", NOBODY)


def test_as_it_travels() -> None:
    health = assess(with_processes("mail", **BY_ANN)(with_tables(table(0, 0, 0))(well())))
    assert health.as_map() == {
        "level": "warn",
        "sentence": "Degraded: mail was stopped by ann.",
        "problems": [
            {
                "code": STOPPED, "values": {"name": "mail", "by": "ann"}, "level": "warn", "about": "mail",
                "text": "mail was stopped by ann",
            }
        ],
    }  # fmt: skip


def test_the_level_of_names() -> None:
    health = assess(with_processes("mail.2", state="failed", pid=None)(well()))
    assert (health.level_of("mail.2"), health.level_of("mail.1"), health.level_of("mail.1", "mail.2")) == (
        "warn", "ok", "warn",
    )  # fmt: skip


def test_without_a_launcher_that_is_all_one_knows() -> None:
    health = launcher_silent(Message("health.stopping"))
    assert (health.level, health.state, [finding.code for finding in health.findings]) == (
        "bad", "down", ["health.the-launcher-does-not-answer"],
    )  # fmt: skip


def test_the_level_of_one_process() -> None:
    rows = [
        process("mail.1", "2.1"), process("mail.1", "2.1", ready=False), process("mail.1", "2.1", state="failed"),
        process("mail.1", "2.1", state="failed", essential=True), process("mail.1", "2.1", **BY_ANN),
    ]  # fmt: skip
    assert [process_level(row) for row in rows] == ["ok", "warn", "warn", "bad", "warn"]


def test_how_a_process_ended() -> None:
    ends = [
        Exit(code=1, text="exit code 1"), Exit(code=1), Exit(signal="SIGTERM"), Exit(text="no such file"), Exit(),
    ]  # fmt: skip
    assert [str(ending(end) or "") for end in (None, *ends)] == [
        "", "exit code 1", "exit code 1", "SIGTERM", "no such file", "",
    ]  # fmt: skip


def test_ordinals() -> None:
    texts = [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    assert texts == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]


def judged(**change: Any) -> tuple[str, list[str]]:
    health = assess(with_processes("redis.1", **change)(well()))
    return health.state, [str(finding.message) for finding in health.findings]


def test_who_waits_for_what_does_not_come_cannot_start() -> None:
    why = Message("process.waits-for-a-person", what="migrate", remedy="mend it").as_map()
    waits = {"state": "starting", "pid": None, "ready": False, "stuck": True, "why": why}
    assert judged(**waits) == ("degraded", ["redis.1 cannot start: waits for migrate; mend it"])


def test_what_is_not_ready_says_what_it_lacks() -> None:
    lacking = Message("process.ready-probe-fails", why="connection refused").as_map()
    why = "its readiness probe fails: connection refused"
    assert judged(ready=False, lacking=lacking) == (
        "degraded", [f"redis.1 runs, but is not ready: {why}"]
    )  # fmt: skip
    assert judged(state="starting", ready=False, lacking=lacking) == (
        "starting", [f"redis.1 is starting: {why}"]
    )  # fmt: skip


def test_a_job_that_is_done_is_not_missed() -> None:
    assert judged(**OVER, completed=True, daemon=False) == ("healthy", [])
