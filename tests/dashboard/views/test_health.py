from __future__ import annotations

from dataclasses import replace

from dashboard.model.answers import Alarm, Exit, RouterStats
from dashboard.views.health import SLOW_READER_BYTES, assess, exit_text, process_level
from tests.dashboard.cluster import ScriptedCluster, looked, process, snapshot_of, table


async def test_a_healthy_cluster_says_so_in_one_sentence() -> None:
    health = assess(await snapshot_of(ScriptedCluster()))
    assert health.level == "ok"
    assert str(health.sentence) == "Healthy: 7 processes run, 2 routers agree."


async def test_a_restarting_process_and_its_vacant_slot_are_named() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    cluster.processes[5] = process("mail.2", "2.2", state="backoff", restarts=2)
    health = assess(await snapshot_of(cluster))
    assert health.level == "warn"
    assert str(health.sentence) == (
        "Degraded: mail.2 is restarting for the 3rd time; group mail has 1 of 3 slots vacant."
    )


async def test_one_that_runs_and_is_not_ready_is_named() -> None:
    cluster = ScriptedCluster()
    cluster.processes[5] = process("mail.2", "2.2", ready=False)
    snapshot = await snapshot_of(cluster)
    assert str(assess(snapshot).sentence) == "Degraded: mail.2 runs, but is not ready."
    assert [process_level(one) for one in snapshot.processes].count("warn") == 1


async def test_one_that_is_down_though_it_is_wanted_is_named() -> None:
    cluster = ScriptedCluster()
    over = {"state": "exited", "pid": None, "exit": {"code": 0, "text": "exit code 0"}}
    cluster.processes[5] = process("mail.2", "2.2", **over)
    cluster.processes.append(process("mail.4", "2.4", **over, wanted=False))
    cluster.processes.append(process("job.1", None, **over, kind="command"))
    snapshot = await snapshot_of(cluster)
    assert str(assess(snapshot).sentence) == (
        "Degraded: mail.2 has ended (exit code 0) and stays down, for its restart policy is on-failure."
    )
    assert [one.name for one in snapshot.processes if process_level(one) == "warn"] == ["mail.2"]


async def test_the_worst_comes_first_and_the_rest_is_counted() -> None:
    cluster = ScriptedCluster(
        tables={
            "router.1": table("router.1", mail=(0, 12, 13), master=None),
            "router.2": table("router.2", mail=(11, 12, 13), master=None),
        }
    )
    cluster.processes[2] = process("director.1", "1.1", state="failed", exit={"text": "exit code 3"})
    health = assess(await snapshot_of(cluster))
    assert health.level == "bad"
    assert str(health.sentence) == (
        "Down: director.1 has failed: exit code 3; group director has no master; "
        "router.1 and router.2 have different tables for group mail."
    )


async def test_a_difference_of_tables_is_said_once_whoever_sees_it() -> None:
    text = "router.1 and router.2 have different tables for group mail"
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1", mail=(11, 0, 13)), "router.2": table("router.2")}
    )
    snapshot = await snapshot_of(cluster)
    assert str(assess(snapshot).sentence) == f"Degraded: {text}."
    stats = RouterStats(router="router.1", alarms=(Alarm(kind="tables differ", text=text, since=5.0),))
    both = replace(snapshot, routers=tuple(replace(router, stats=stats) for router in snapshot.routers))
    assert str(assess(both).sentence) == f"Degraded: {text}."
    same = replace(snapshot.routers[1], name="router.1", stats=stats)
    unseen = replace(snapshot, routers=(same, snapshot.routers[1]))
    assert str(assess(unseen).sentence) == f"Degraded: {text}."


async def test_an_entry_over_anothers_connection_is_named_once() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 13, 13)) for n in ("router.1", "router.2")})
    health = assess(await snapshot_of(cluster))
    assert str(health.sentence) == "Degraded: the entry of mail.2 points at the connection of mail.3."


async def test_a_router_that_has_just_started_takes_nobody_away() -> None:
    fresh = table("router.1", mail=(0, 0, 0), master=None)
    fresh["groups"][0]["slots"] = []
    fresh["groups"][0]["epoch"] = 0
    cluster = ScriptedCluster(tables={"router.1": fresh, "router.2": table("router.2")})
    health = assess(await snapshot_of(cluster))
    assert (health.level, str(health.sentence)) == (
        "warn", "Degraded: router.1 has just started: no service is registered there yet.",
    )  # fmt: skip


async def test_a_router_that_does_not_answer_is_a_warning_while_another_does() -> None:
    health = assess(await snapshot_of(ScriptedCluster(up={"router.1": True, "router.2": False})))
    assert (health.level, str(health.sentence)) == ("warn", "Degraded: router.2 does not answer.")


async def test_without_any_router_it_says_how_old_the_knowledge_is() -> None:
    cluster = ScriptedCluster()
    feed = await looked(cluster)
    cluster.up = dict.fromkeys(cluster.up, False)
    feed._now.at += 75  # type: ignore[attr-defined]
    health = assess(await feed.poll())
    assert str(health.sentence) == "Down: no router answers; routes are as last known 1 min 15 s ago."


async def test_a_router_that_never_answered_is_said_with_the_reason() -> None:
    health = assess(await snapshot_of(ScriptedCluster(up={"router.1": False})))
    assert str(health.sentence) == "Down: no router answers (connection refused)."


async def test_without_a_launcher_nothing_is_said_about_processes() -> None:
    cluster = ScriptedCluster(launcher=False)
    cluster.processes[0] = process("router.1", "0.1", state="failed")
    health = assess(await snapshot_of(cluster))
    assert [t.page for t in health.troubles] == ["processes"]
    assert "the launcher does not answer" in str(health.sentence)


async def test_nobody_left_in_a_group_is_bad() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(0, 0, 0)) for n in ("router.1", "router.2")})
    assert str(assess(await snapshot_of(cluster)).sentence) == "Down: nobody serves group mail."


async def test_a_slow_reader_is_named() -> None:
    cluster = ScriptedCluster()
    cluster.rows[0] |= {"pending_bytes": SLOW_READER_BYTES}
    assert "mail.1 reads slowly: 256 KiB wait for it at router.1" in str(
        assess(await snapshot_of(cluster)).sentence
    )


def test_how_a_process_ended() -> None:
    ends = [
        Exit(code=1, text="exit code 1"), Exit(code=1), Exit(signal="SIGTERM"), Exit(text="no such file"), Exit(),
    ]  # fmt: skip
    assert [exit_text(end) for end in (None, *ends)] == [
        "", "exit code 1", "exit code 1", "SIGTERM", "no such file", "",
    ]  # fmt: skip
