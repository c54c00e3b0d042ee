from __future__ import annotations

import pytest

from luabus.cluster import preview_processes
from luabus.cluster.preview_routing import Preview
from tests.dashboard.cluster import ScriptedCluster, process, snapshot_of, table


def texts(said: Preview) -> list[str]:
    return [str(sentence) for sentence in said[1]]


async def test_killing_a_service_process_tells_about_its_keys_and_its_return() -> None:
    said = texts(preview_processes.of_kill(await snapshot_of(ScriptedCluster()), "mail.3", "SIGKILL"))
    assert said[0].startswith("It ends at once")
    assert "33 % of the keys of mail move, to mail.1 (17 %), mail.2 (16 %); all others stay." in said
    assert said[-1] == (
        "It ends by the signal, which counts as a crash: it is started again, for its restart policy is on-failure."
    )


async def test_killing_the_master_tells_that_calls_fail() -> None:
    said = texts(preview_processes.of_kill(await snapshot_of(ScriptedCluster()), "director.1", "SIGTERM"))
    assert said[0] == "It gets SIGTERM and stops in order; the launcher does not wait for it."
    assert "director.1 is the master of director: calls to the master fail until there is another." in said


async def test_what_its_policy_lets_stay_down_is_not_awaited_back() -> None:
    cluster = ScriptedCluster()
    snapshot = await snapshot_of(cluster)
    said = texts(preview_processes.of_kill(snapshot, "mail", "SIGTERM"))
    assert said[1:] == [
        "Nobody is left in group mail: its callers get NoRoute until one is started again.",
        "It ends with exit code 0: it stays down, for its restart policy is on-failure.",
    ]
    cluster.processes[4]["restart_policy"] = "always"
    said = texts(preview_processes.of_kill(await snapshot_of(cluster), "mail", "SIGTERM"))
    assert said[1:] == [
        "Nobody is left in group mail: its callers get NoRoute until one is back.",
        "mail.1: It ends with exit code 0: it is started again, for its restart policy is always.",
        "mail.2, mail.3: It ends with exit code 0: it stays down, for its restart policy is on-failure.",
    ]


async def test_of_another_program_it_is_not_claimed_to_stop_cleanly() -> None:
    cluster = ScriptedCluster()
    cluster.processes.append(process("job.1", None, kind="command", liveness_timeout_s=None))
    said = texts(preview_processes.of_kill(await snapshot_of(cluster), "job.1", "SIGTERM"))
    assert said[0] == "It gets SIGTERM and may stop cleanly; the launcher does not wait for it."
    assert len(said) == 3
    assert texts(preview_processes.of_kill(await snapshot_of(cluster), "job.1", "SIGSTOP")) == [
        "It stops working but does not end. SIGCONT lets it go on."
    ]


async def test_without_one_router_services_change_over_and_without_all_nothing_is_routed() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert "change over to router.2" in texts(preview_processes.of_kill(snapshot, "router.1", "SIGKILL"))[1]
    assert (
        texts(preview_processes.of_kill(snapshot, "router.1", "SIGKILL"))[0]
        == "It ends at once, without a clean stop."
    )
    back = "No other router answers: nothing is routed until one is back."
    alone = await snapshot_of(ScriptedCluster(up={"router.1": True}))
    assert back in texts(preview_processes.of_kill(alone, "router.1", "SIGKILL"))
    assert back in texts(preview_processes.of_kill(snapshot, "router", "SIGKILL"))
    assert not any(
        "change over" in said for said in texts(preview_processes.of_kill(snapshot, "router", "SIGKILL"))
    )
    assert texts(preview_processes.of_stop(snapshot, "router", restart=False))[1:] == [
        "No other router answers: nothing is routed until one is started again."
    ]


async def test_without_the_whole_service_its_callers_get_no_route() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    title, sentences, danger = preview_processes.of_stop(snapshot, "mail", restart=False)
    assert str(title) == "Stop mail?"
    assert danger
    assert [str(one) for one in sentences][1:] == [
        "Nobody is left in group mail: its callers get NoRoute until one is started again."
    ]
    assert "Nobody is left in group mail: its callers get NoRoute until one is back." in texts(
        preview_processes.of_kill(snapshot, "mail", "SIGKILL")
    )


async def test_keys_go_to_nobody_who_is_stopped_as_well() -> None:
    cluster = ScriptedCluster()
    for one in cluster.processes:
        if one["name"] in ("mail.2", "mail.3"):
            one["service"] = "two"
    said = texts(preview_processes.of_stop(await snapshot_of(cluster), "two", restart=False))
    assert [one for one in said if "keys" in one] == [
        "65 % of the keys of mail move, to mail.1 (65 %); all others stay.",
    ]


async def test_the_dashboard_stays_away_when_it_is_stopped() -> None:
    cluster = ScriptedCluster()
    cluster.processes.append(process("dashboard", None))
    snapshot = await snapshot_of(cluster)
    assert texts(preview_processes.of_stop(snapshot, "dashboard", restart=False))[-1] == (
        "This page goes away until it is started again: luabus-cluster start dashboard"
    )
    again = "This page goes away until the launcher has started it again."
    assert again in texts(preview_processes.of_kill(snapshot, "dashboard", "SIGKILL"))
    assert again in texts(preview_processes.of_stop(snapshot, "dashboard", restart=True))
    assert "This page does not answer until it goes on." in texts(
        preview_processes.of_kill(snapshot, "dashboard", "SIGSTOP")
    )


async def test_a_signal_that_does_not_end_a_process_promises_no_end() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert texts(preview_processes.of_kill(snapshot, "mail.3", "SIGSTOP")) == [
        "It stops answering but does not end: after 3.5 s its connections count as lost. SIGCONT lets it go on.",
        "33 % of the keys of mail move, to mail.1 (17 %), mail.2 (16 %); all others stay.",
        "Messages to mail.3 answer NoRoute until it registers again.",
        "At no router for 10 s it is taken to have hung and is ended, which counts as a crash: it is started again, for"
        " its restart policy is on-failure.",
    ]
    assert (
        preview_processes.of_kill(snapshot, "mail.3", "SIGCONT")[1:]
        == (preview_processes.of_kill(snapshot, "router.1", "SIGCONT")[1:])
    )
    assert texts(preview_processes.of_kill(snapshot, "mail.3", "SIGCONT")) == [
        "It goes on if it was stopped; otherwise nothing changes."
    ]
    assert texts(preview_processes.of_kill(snapshot, "mail.3", "SIGUSR1")) == [
        "What SIGUSR1 does is the program's affair; one that does not handle it ends.",
        "If it ends by the signal, that counts as a crash: it is started again, for its restart policy is on-failure.",
    ]
    assert texts(preview_processes.of_kill(snapshot, "mail.3", "SIGWINCH")) == [
        "Nothing happens, unless the program handles SIGWINCH."
    ]


async def test_what_does_not_run_cannot_be_killed() -> None:
    cluster = ScriptedCluster()
    cluster.processes[5] = process("mail.2", "2.2", state="exited", pid=None)
    said = preview_processes.of_kill(await snapshot_of(cluster), "mail.2", "SIGKILL")
    assert texts(said) == ["mail.2 has no process now: this is refused."]
    snapshot = await snapshot_of(cluster)
    assert texts(preview_processes.of_stop(snapshot, "mail.2", restart=True)) == [
        "It does not run now: it is started."
    ]
    assert texts(preview_processes.of_stop(snapshot, "mail.2", restart=False)) == [
        "It does not run now, and stays stopped until it is started again."
    ]


async def test_scaling() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert texts(preview_processes.of_scale(snapshot, "mail", 5)) == [
        "2 more are started.",
        "40 % of the keys of mail move, to mail.5 (20 %), mail.4 (20 %); all others stay.",
    ]
    assert texts(preview_processes.of_scale(snapshot, "mail", 4))[0] == "One more is started."
    assert (
        texts(preview_processes.of_scale(snapshot, "mail", 2))[0]
        == "mail.3 finishes what it works on and stops."
    )
    assert (
        texts(preview_processes.of_scale(snapshot, "mail", 1))[0]
        == "The last 2 finish what they work on and stop."
    )
    assert texts(preview_processes.of_scale(snapshot, "mail", 2))[1:] == [
        "33 % of the keys of mail move, to mail.1 (17 %), mail.2 (16 %); all others stay."
    ]
    assert texts(preview_processes.of_scale(snapshot, "mail", 2000)) == [
        "1997 more are started.",
        "100 % of the keys of mail move, to mail.10, mail.100, mail.1000, mail.1001, … (+1993); all others stay.",
    ]
    assert "NoRoute" in texts(preview_processes.of_scale(snapshot, "mail", 0))[1]
    assert texts(preview_processes.of_scale(snapshot, "mail", 3)) == ["It has 3 already: nothing changes."]


@pytest.mark.parametrize(("wanted", "told"), [(1, True), (2, False)])
async def test_scaling_the_master_away_says_so_and_of_no_keys_where_there_is_no_hash(
    wanted: int, told: bool
) -> None:
    cluster = ScriptedCluster()
    for one in cluster.tables.values():
        one["groups"][0]["master"] = "1.2"
    said = texts(preview_processes.of_scale(await snapshot_of(cluster), "director", wanted))
    assert any("director.2 is the master of director" in one for one in said) is told
    assert "keys" not in " ".join(said)
    assert "keys" not in " ".join(
        texts(preview_processes.of_scale(await snapshot_of(cluster), "director", 5))
    )


async def test_closing() -> None:
    title, sentences, _ = preview_processes.of_close(await snapshot_of(ScriptedCluster()), "router.1", 12)
    assert str(title) == "Close the connection of mail.2 at router.1?"
    assert [str(one) for one in sentences] == [
        "router.1 ends the connection; mail.2 connects again by itself if it is alive.",
        "33 % of the keys of mail move, to mail.3 (17 %), mail.1 (16 %); all others stay.",
    ]


async def test_what_is_started_or_goes_on_has_its_keys_again() -> None:
    cluster = ScriptedCluster()
    cluster.tables = {router: table(router, mail=(11, 0, 13)) for router in ("router.1", "router.2")}
    snapshot = await snapshot_of(cluster)
    moved = "33 % of the keys of mail move, to mail.2 (33 %); all others stay."
    for preview in (preview_processes.of_start, preview_processes.of_resume):
        assert texts(preview(snapshot, "mail.2"))[1:] == [moved]
        assert texts(preview(snapshot, "mail"))[1:] == [moved]
        assert not texts(preview(snapshot, "mail.1"))[1:]
