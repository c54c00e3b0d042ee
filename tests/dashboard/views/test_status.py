from __future__ import annotations

from dashboard.views.status import staleness, status_of
from tests.dashboard.cluster import ScriptedCluster, looked, snapshot_of, table


async def test_the_document_sums_everything_up() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    status = status_of(await snapshot_of(cluster))
    assert (status.cluster, status.level, status.consistent, status.launcher) == ("demo", "warn", True, True)
    assert [(g.name, g.slots, g.vacant, g.members, g.master) for g in status.groups] == [
        ("director", 2, 0, 2, "1.1"),
        ("mail", 3, 1, 2, None),
    ]
    assert status.processes == {"running": 7}
    assert [(p.code, p.level, p.about) for p in status.problems] == [
        ("health.group-has-of-slots-vacant", "warn", "mail")
    ]


async def test_with_every_router_dead_nothing_is_claimed_to_be_consistent() -> None:
    status = status_of(await snapshot_of(ScriptedCluster(up={"router.1": False})))
    assert (status.level, status.consistent, status.messages_per_s) == ("bad", False, 0.0)
    assert status.routers[0].age_s is None


async def test_how_old_the_routes_are_is_told_while_no_router_answers() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    assert staleness(poller.snapshot) is None
    cluster.up = dict.fromkeys(cluster.up, False)
    poller._now.at += 75  # type: ignore[attr-defined]
    assert str(staleness(await poller.poll())) == "routes are as last known 1 min 15 s ago"


async def test_why_no_router_ever_answered_is_told() -> None:
    text = staleness(await snapshot_of(ScriptedCluster(up={"router.1": False})))
    assert str(text) == "none has answered since this page's process began (connection refused)"
