from __future__ import annotations

from typing import Any

from luabus.cluster import entries
from luabus.cluster.entries import Registration
from tests.dashboard.cluster import ScriptedCluster, by_hand, connection, snapshot_of, table


def asked(service_id: str, token: Any, router: str = "*", is_master: bool = False) -> Registration:
    return Registration(service_id=service_id, token=token, router=router, is_master=is_master)


async def test_undo_restores_what_was() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert entries.undo_of(snapshot, asked("2.2", 0)) == asked("2.2", "own")
    assert entries.undo_of(snapshot, asked("2.2", None)) == asked("2.2", "own")
    assert entries.undo_of(snapshot, asked("2.2", "own")) is None
    assert entries.undo_of(snapshot, asked("2.9", 0)) == asked("2.9", None)
    assert entries.undo_of(snapshot, asked("2.2", 0, "router.2")) == asked("2.2", "own", "router.2")


async def test_undo_of_an_entry_over_a_foreign_connection() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert entries.undo_of(snapshot, asked("2.2", 13)) == asked("2.2", "own")
    pointed = await snapshot_of(
        ScriptedCluster(tables={n: table(n, mail=(11, 13, 13)) for n in ("router.1", "router.2")})
    )
    assert entries.undo_of(pointed, asked("2.2", "own")) == asked("2.2", 13)
    assert entries.undo_of(pointed, asked("2.2", 0)) == asked("2.2", 13)
    assert entries.undo_of(pointed, asked("2.2", 13)) is None


async def test_undo_of_naming_and_unsetting_a_master_by_hand() -> None:
    none = await snapshot_of(ScriptedCluster())
    assert entries.undo_of(none, asked("2.2", "own", is_master=True)) == asked("2.2", "own")
    first = await snapshot_of(by_hand("2.1"))
    assert entries.undo_of(first, asked("2.2", "own", is_master=True)) == asked("2.1", "own", is_master=True)
    assert entries.undo_of(first, asked("2.1", "own")) == asked("2.1", "own", is_master=True)
    assert entries.undo_of(first, asked("2.1", 0)) == asked("2.1", "own", is_master=True)
    assert entries.undo_of(first, asked("2.1", "own", is_master=True)) is None
    assert (
        entries.undo_of(none, asked("1.2", "own", is_master=True)) is None
    )  # elected: the routers refuse it


async def test_where_routers_differ_the_undo_is_of_those_that_change() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1", mail=(11, 0, 13)), "router.2": table("router.2")}
    )
    snapshot = await snapshot_of(cluster)
    assert entries.undo_of(snapshot, asked("2.2", 0)) == asked("2.2", "own", "router.2")
    assert entries.undo_of(snapshot, asked("2.2", None)) is None  # no single request makes them differ again


async def test_foreign_entries_are_those_over_another_services_connection() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1", mail=(11, 13, 40)), "router.2": table("router.2")}
    )
    cluster.rows.append(connection("router.1", "client.40", "client.40", 40))
    snapshot = await snapshot_of(cluster)
    assert [(router, one, row.name) for router, one, row in entries.foreign(snapshot)] == [
        ("router.1", "2.2", "mail.3")
    ]
