from __future__ import annotations

from dataclasses import replace

from dashboard.model.answers import Alarm, RouterStats
from dashboard.model.snapshot import RouterState
from dashboard.views.alarms import alarms_of
from tests.dashboard.cluster import ScriptedCluster, snapshot_of


async def raised(**alarms: list[Alarm]) -> list[RouterState]:
    snapshot = await snapshot_of(ScriptedCluster())
    stats = [RouterStats(router=name, alarms=tuple(said)) for name, said in alarms.items()]
    return [replace(router, stats=one) for router, one in zip(snapshot.routers, stats, strict=True)]


async def test_what_several_routers_say_is_said_once_with_the_earliest_time() -> None:
    routers = await raised(
        one=[
            Alarm(kind="tables differ", text="they differ", since=5.0),
            Alarm(kind="epoch", text="two", since=1.0),
        ],
        two=[
            Alarm(kind="tables differ", text="they differ", since=4.0),
            Alarm(kind="epoch", text="two", since=2.0),
        ],
    )
    assert [(said.text, said.level, said.router, said.since) for said in alarms_of(routers)] == [
        ("they differ", "warn", "router.1", 4.0), ("router.1, router.2: two", "bad", "router.1", 1.0),
    ]  # fmt: skip


async def test_a_services_complaint_names_the_service() -> None:
    routers = await raised(one=[Alarm(kind="service", text="mail.1: no disk")], two=[])
    assert [(said.text, said.level) for said in alarms_of(routers)] == [("mail.1: no disk", "bad")]
