from __future__ import annotations

import pytest

from dashboard.views import routing_tables
from tests.dashboard.cluster import ScriptedCluster, looked, snapshot_of, table


async def test_routers_that_hold_the_same_agree_whatever_their_tokens() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(4, 5, 6))}
    )
    answer = routing_tables.routes(await snapshot_of(cluster))
    assert answer.consistent
    assert [(r.router, r.connected, r.age_s) for r in answer.routers] == [
        ("router.1", True, 0.0),
        ("router.2", True, 0.0),
    ]


async def test_a_slot_that_is_vacant_at_one_router_only_differs() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(4, 0, 6))}
    )
    snapshot = await snapshot_of(cluster)
    assert snapshot.differing_groups() == {2}
    mail = routing_tables.group_tables(snapshot)[1]
    assert mail.differs
    assert [row.name for row in mail.rows if row.sick] == ["mail.2"]
    assert [(c.router, c.state, c.differs) for c in mail.rows[1].cells] == [
        ("router.1", "live", True),
        ("router.2", "vacant", True),
    ]


async def test_a_master_that_only_one_router_knows_differs() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", master="1.2")}
    )
    director = routing_tables.group_tables(await snapshot_of(cluster))[0]
    assert [(c.router, c.name, c.epoch, c.differs) for c in director.masters] == [
        ("router.1", "director.1", 4, True),
        ("router.2", "director.2", 4, True),
    ]
    assert [c.master for row in director.rows for c in row.cells] == [True, False, False, True]


async def test_an_entry_that_a_router_lacks_is_absent_there() -> None:
    less = table("router.2")
    del less["groups"][0]["slots"][1]
    cluster = ScriptedCluster(tables={"router.1": table("router.1"), "router.2": less})
    director = routing_tables.group_tables(await snapshot_of(cluster))[0]
    assert [cell.state for cell in director.rows[1].cells] == ["live", "absent"]


async def test_a_router_that_is_away_is_shown_but_not_compared() -> None:
    cluster = ScriptedCluster(up={"router.1": True, "router.2": False})
    snapshot = await snapshot_of(cluster)
    assert snapshot.differing_groups() == set()
    assert [r.connected for r in routing_tables.routes(snapshot).routers] == [True, False]


async def test_each_router_says_where_a_key_goes() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(4, 0, 6))}
    )
    answer = routing_tables.key_places(await snapshot_of(cluster), 2, "x", 3)
    assert not answer.agree
    assert [(p.router, p.bucket, p.name, p.owner, p.next, p.moved) for p in answer.routers] == [
        ("router.1", 3, "mail.2", "mail.2", "mail.1", False),
        ("router.2", 3, "mail.1", "mail.2", "mail.3", True),
    ]


async def test_an_entry_over_anothers_connection_is_marked() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1", mail=(11, 13, 13)), "router.2": table("router.2")}
    )
    _, mail = routing_tables.group_tables(await snapshot_of(cluster))
    assert [(row.name, row.sick, [cell.foreign for cell in row.cells]) for row in mail.rows] == [
        ("mail.1", False, ["", ""]), ("mail.2", True, ["mail.3", ""]), ("mail.3", False, ["", ""]),
    ]  # fmt: skip


async def test_each_row_has_its_share_where_keys_are_hashed() -> None:
    cluster = ScriptedCluster(
        tables={name: table(name, mail=(11, 0, 13)) for name in ("router.1", "router.2")}
    )
    director, mail = routing_tables.group_tables(await snapshot_of(cluster))
    assert [row.share for row in director.rows] == [None, None]
    assert not director.hashed
    shares = [row.share for row in mail.rows]
    assert shares[1] == 0.0
    assert sum(share or 0.0 for share in shares) == pytest.approx(1.0, abs=1e-3)
    assert mail.hashed


async def test_an_entry_beyond_those_of_one_router_is_marked() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(1, 2, 3, 0))}
    )
    snapshot = await snapshot_of(cluster)
    assert snapshot.differing_groups() == {2}
    _, mail = routing_tables.group_tables(snapshot)
    assert [[cell.differs for cell in row.cells] for row in mail.rows] == [[False] * 2] * 3 + [[True] * 2]


async def test_a_group_is_counted_where_it_is_worst() -> None:
    for worst in ("router.1", "router.2"):
        cluster = ScriptedCluster()
        cluster.tables[worst] = table(worst, mail=(11, 0, 13), master=None)
        director, mail = routing_tables.group_tables(await snapshot_of(cluster))
        assert (mail.slots, mail.vacant, mail.members) == (3, 1, 2)
        assert (director.master, director.epoch) == (None, 4)


async def test_what_a_router_that_is_away_said_last_counts_only_while_none_answers() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    cluster.up["router.1"] = False
    cluster.tables["router.2"] = table("router.2", mail=(11, 0, 13), master=None)
    director, mail = routing_tables.group_tables(await poller.poll())
    assert (mail.vacant, mail.members, director.master) == (1, 2, None)
    cluster.tables["router.2"] = table("router.2", mail=(11, 12, 13))
    del cluster.tables["router.2"]["groups"][0]
    assert [group.name for group in routing_tables.group_tables(await poller.poll())] == ["mail"]
    cluster.up["router.2"] = False
    director, mail = routing_tables.group_tables(await poller.poll())
    assert (mail.vacant, mail.members, director.master, director.epoch) == (0, 3, None, 4)


async def test_what_only_the_past_tells_makes_no_entry_sick() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1", mail=(0, 12, 13)), "router.2": table("router.2")}
    )
    poller = await looked(cluster)
    assert routing_tables.group_tables(poller.snapshot)[1].rows[0].sick
    cluster.up["router.1"] = False
    _, mail = routing_tables.group_tables(await poller.poll())
    assert [cell.past for cell in mail.rows[0].cells] == [True, False]
    assert not mail.rows[0].sick


async def test_a_router_that_has_just_started_is_not_counted() -> None:
    fresh = table("router.1", mail=(0, 0, 0), master=None)
    fresh["groups"][0]["slots"] = []
    cluster = ScriptedCluster(tables={"router.1": fresh, "router.2": table("router.2")})
    director, mail = routing_tables.group_tables(await snapshot_of(cluster))
    assert (mail.vacant, mail.members, director.master) == (0, 3, "1.1")
