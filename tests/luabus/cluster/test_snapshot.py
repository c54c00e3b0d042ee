from __future__ import annotations

from tests.dashboard.cluster import ScriptedCluster, looked, snapshot_of, table


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


async def test_a_group_is_what_any_router_holds() -> None:
    one = table("router.1", mail=(11, 0, 0), master=None)
    other = table("router.2", mail=(0, 12, 0))
    cluster = ScriptedCluster(tables={"router.1": one, "router.2": other})
    director, mail = (await snapshot_of(cluster)).groups()
    assert [slot.token for slot in mail.slots] == [11, 12, 0]
    assert (director.master, director.epoch) == ("1.1", 4)  # at the same epoch the one that is named
    other["groups"][0] |= {"master": None, "epoch": 5}
    one["groups"][0]["master"] = "1.1"
    director, _ = (await snapshot_of(cluster)).groups()
    assert (director.master, director.epoch) == (None, 5)
