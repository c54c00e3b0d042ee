from __future__ import annotations

from typing import Any

from dashboard.model import RegisterAsked
from dashboard.render import consequences
from tests.dashboard.cluster import ScriptedCluster, snapshot_of, table


def asked(service_id: str, token: Any, router: str = "*", is_master: bool = False) -> RegisterAsked:
    return RegisterAsked(service_id=service_id, token=token, router=router, is_master=is_master)


def texts(said: consequences.Said) -> list[str]:
    return [str(sentence) for sentence in said[1]]


async def test_vacating_tells_who_gets_the_keys() -> None:
    said = consequences.of_register(await snapshot_of(ScriptedCluster()), asked("2.2", 0))
    assert str(said[0]) == "Make the slot of mail.2 vacant?"
    assert texts(said) == [
        "The keys of its slot (1 of 3) go to mail.3; everyone else's stay.",
        "Messages to mail.2 answer NoRoute until it registers again.",
    ]
    assert said[2]


async def test_removing_tells_that_keys_move() -> None:
    said = texts(consequences.of_register(await snapshot_of(ScriptedCluster()), asked("2.2", None)))
    assert said[1].startswith("The hash array of mail shrinks from 3 slots to 2")


async def test_one_router_only_makes_them_disagree() -> None:
    said = texts(consequences.of_register(await snapshot_of(ScriptedCluster()), asked("2.2", 0, "router.1")))
    assert said[-1] == "Only router.1 changes: the routers disagree until the others are told the same."


async def test_taking_a_vacant_slot_again_brings_the_keys_home() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    said = texts(consequences.of_register(await snapshot_of(cluster), asked("2.2", "own")))
    assert said == ["mail.2 takes its slot again: its keys come home from mail.3."]


async def test_naming_a_master_where_the_lease_decides_says_that_it_is_refused() -> None:
    said = texts(
        consequences.of_register(await snapshot_of(ScriptedCluster()), asked("1.2", "own", is_master=True))
    )
    assert "Group director elects its master by lease: the routers refuse this. Promote it instead." in said


async def test_undo_restores_what_was() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert consequences.undo_of(snapshot, asked("2.2", 0)) == asked("2.2", "own")
    assert consequences.undo_of(snapshot, asked("2.2", "own")) is None
    assert consequences.undo_of(snapshot, asked("2.9", 0)) == asked("2.9", None)
    assert consequences.undo_of(snapshot, asked("2.2", "own", is_master=True)) is None


async def test_killing_a_service_process_tells_about_its_slot_and_its_return() -> None:
    said = texts(consequences.of_kill(await snapshot_of(ScriptedCluster()), "mail.3", "SIGKILL"))
    assert said[0].startswith("It ends at once")
    assert "The keys of its slot (1 of 3) go to mail.1; everyone else's stay." in said
    assert said[-1] == "The launcher starts mail.3 again as its restart policy says (restarts so far: 0)."


async def test_killing_the_master_tells_that_calls_fail() -> None:
    said = texts(consequences.of_kill(await snapshot_of(ScriptedCluster()), "director.1", "SIGTERM"))
    assert said[0] == "It gets SIGTERM and may stop cleanly; the launcher does not wait for it."
    assert "It is the master of director: calls to the master fail until there is another." in said


async def test_killing_a_router_tells_who_is_left() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert "change over to router.2" in texts(consequences.of_kill(snapshot, "router.1", "SIGKILL"))[1]
    alone = await snapshot_of(ScriptedCluster(up={"router.1": True}))
    assert "nothing is routed" in texts(consequences.of_kill(alone, "router.1", "SIGKILL"))[1]


async def test_a_whole_service_is_summed_up() -> None:
    title, sentences, danger = consequences.of_stop(
        await snapshot_of(ScriptedCluster()), "mail", restart=False
    )
    assert str(title) == "Stop mail?"
    assert danger
    assert len(sentences) >= 4


async def test_promote_scale_and_close() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert "director.1 gives up the lease of director" in texts(consequences.of_promote(snapshot, "1.2"))[0]
    assert texts(consequences.of_promote(snapshot, "1.1"))[0] == "It is the master already: nothing changes."
    assert texts(consequences.of_scale(snapshot, "mail", 3, 5)) == [
        "2 more are started.",
        "The hash array stays at 3 slots: those beyond take every route but hash.",
    ]
    assert "1 of 3 slots become vacant" in texts(consequences.of_scale(snapshot, "mail", 3, 2))[1]
    assert "NoRoute" in texts(consequences.of_scale(snapshot, "mail", 3, 0))[1]
    assert texts(consequences.of_scale(snapshot, "mail", 3, 3)) == ["It has 3 already: nothing changes."]
    assert (
        str(consequences.of_close(snapshot, "router.1", 12)[0])
        == "Close the connection of mail.2 at router.1?"
    )
