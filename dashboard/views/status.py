"""Status document: health, and what it is made of."""

from __future__ import annotations

from collections import Counter

from dashboard.model.answers import GroupStatus, Problem, RouterStatus, Status
from dashboard.views.formatting import span
from dashboard.views.routing_tables import group_tables
from luabus.cluster.health import assess
from luabus.cluster.snapshot import Snapshot
from luabus.messages import Message


def staleness(snapshot: Snapshot) -> Message | None:
    """Age of the routing shown while no router answers; None while one does."""
    if snapshot.routed:
        return None
    seen = max((router.seen for router in snapshot.routers if router.seen is not None), default=None)
    if seen is None:
        return Message("ui.no-router-ever-answered", why=snapshot.bus_error or "")
    return Message("ui.routes-are-as-last-known", ago=span(snapshot.at - seen))


def status_of(snapshot: Snapshot) -> Status:
    """Status document in English, as every answer of the API."""
    health = assess(snapshot)
    groups = [
        GroupStatus(
            group=table.group,
            name=table.name,
            slots=table.slots,
            vacant=table.vacant,
            members=table.members,
            master=table.master,
            epoch=table.epoch,
        )
        for table in group_tables(snapshot)
    ]
    routers = [
        RouterStatus(
            router=router.name,
            address=router.address,
            connected=router.connected,
            age_s=None if router.seen is None else round(max(snapshot.at - router.seen, 0.0), 1),
        )
        for router in snapshot.routers
    ]
    return Status(
        cluster=snapshot.cluster,
        level=health.level,
        sentence=str(health.sentence),
        problems=tuple(Problem(**finding.as_map()) for finding in health.findings),
        consistent=snapshot.routed and not snapshot.differing_groups(),
        routers=tuple(routers),
        groups=tuple(groups),
        processes=dict(Counter(process.state for process in snapshot.processes)),
        launcher=snapshot.launcher_error is None,
        messages_per_s=round(sum(row.rate_in for row in snapshot.connections), 2) if snapshot.routed else 0.0,
    )
