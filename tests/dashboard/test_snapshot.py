from __future__ import annotations

from tests.dashboard.cluster import ScriptedCluster, looked, snapshot_of


async def test_names_services_and_groups() -> None:
    snapshot = await snapshot_of(ScriptedCluster())
    assert snapshot.routed
    assert [group.name for group in snapshot.groups()] == ["director", "mail"]
    assert {name: len(found) for name, found in snapshot.services().items()} == {
        "router": 2, "director": 2, "mail": 3,
    }  # fmt: skip
    assert {"mail", "mail.2", "router.1"} <= set(snapshot.names())
    assert snapshot.process("mail.2") is not None
    assert snapshot.process("mail.9") is None


async def test_tables_are_the_live_ones_or_the_last_known() -> None:
    cluster = ScriptedCluster()
    feed = await looked(cluster)
    cluster.up["router.2"] = False
    assert [r.name for r in (await feed.poll()).live_tables()] == ["router.1"]
    cluster.up["router.1"] = False
    assert [r.name for r in (await feed.poll()).live_tables()] == ["router.1", "router.2"]
