from __future__ import annotations

from dashboard.model import Group
from dashboard.render import tables
from tests.dashboard.cluster import ScriptedCluster, snapshot_of, table


async def test_routers_that_hold_the_same_agree_whatever_their_tokens() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(4, 5, 6))}
    )
    found = tables.routes(await snapshot_of(cluster))
    assert found.consistent
    assert [(r.router, r.connected, r.age_s) for r in found.routers] == [
        ("router.1", True, 0.0),
        ("router.2", True, 0.0),
    ]


async def test_a_slot_that_is_vacant_at_one_router_only_differs() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(4, 0, 6))}
    )
    snapshot = await snapshot_of(cluster)
    assert tables.differing_groups(snapshot) == {2}
    mail = tables.group_tables(snapshot)[1]
    assert mail.differs
    assert mail.level == "warn"
    assert [row.name for row in mail.rows if row.sick] == ["mail.2"]
    assert [(c.router, c.state, c.differs) for c in mail.rows[1].cells] == [
        ("router.1", "live", True),
        ("router.2", "vacant", True),
    ]


async def test_a_master_that_only_one_router_knows_differs() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", master="1.2")}
    )
    director = tables.group_tables(await snapshot_of(cluster))[0]
    assert [(c.router, c.name, c.epoch, c.differs) for c in director.masters] == [
        ("router.1", "director.1", 4, True),
        ("router.2", "director.2", 4, True),
    ]
    assert [c.master for row in director.rows for c in row.cells] == [True, False, False, True]


async def test_an_entry_that_a_router_lacks_is_absent_there() -> None:
    less = table("router.2")
    del less["groups"][0]["slots"][1]
    cluster = ScriptedCluster(tables={"router.1": table("router.1"), "router.2": less})
    director = tables.group_tables(await snapshot_of(cluster))[0]
    assert [cell.state for cell in director.rows[1].cells] == ["live", "absent"]


async def test_a_router_that_is_away_is_shown_but_not_compared() -> None:
    cluster = ScriptedCluster(up={"router.1": True, "router.2": False})
    snapshot = await snapshot_of(cluster)
    assert tables.differing_groups(snapshot) == set()
    assert [r.connected for r in tables.routes(snapshot).routers] == [True, False]


def group(*tokens: int) -> Group:
    slots = [
        {"service_id": f"2.{n}", "name": f"mail.{n}", "token": t, "slot": n - 1}
        for n, t in enumerate(tokens, 1)
    ]
    return Group.model_validate({"group": 2, "name": "mail", "slots": slots})


def test_a_key_goes_to_its_slot_or_to_the_next_live_one() -> None:
    owner, serves = tables.place(group(1, 2, 3), 7)
    assert owner is not None
    assert owner.name == "mail.2"
    assert serves is owner
    owner, serves = tables.place(group(1, 0, 3), 7)
    assert (owner and owner.name, serves and serves.name) == ("mail.2", "mail.3")
    owner, serves = tables.place(group(1, 2, 0), 2)
    assert (owner and owner.name, serves and serves.name) == ("mail.3", "mail.1")
    assert tables.place(group(0, 0), 1)[1] is None
    assert tables.place(group(), 1) == (None, None)


async def test_each_router_says_where_a_key_goes() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1"), "router.2": table("router.2", mail=(4, 0, 6))}
    )
    found = tables.key_places(await snapshot_of(cluster), 2, "x", 1)
    assert not found.agree
    assert [(p.router, p.slot, p.name, p.owner, p.moved) for p in found.routers] == [
        ("router.1", 1, "mail.2", "mail.2", False),
        ("router.2", 1, "mail.3", "mail.2", True),
    ]


async def test_an_entry_over_anothers_connection_is_marked() -> None:
    cluster = ScriptedCluster(
        tables={"router.1": table("router.1", mail=(11, 13, 13)), "router.2": table("router.2")}
    )
    _, mail = tables.group_tables(await snapshot_of(cluster))
    assert [(row.name, row.sick, [cell.foreign for cell in row.cells]) for row in mail.rows] == [
        ("mail.1", False, ["", ""]), ("mail.2", True, ["mail.3", ""]), ("mail.3", False, ["", ""]),
    ]  # fmt: skip
    assert mail.level == "warn"
