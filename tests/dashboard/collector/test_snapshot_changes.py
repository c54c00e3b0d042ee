from __future__ import annotations

from dataclasses import replace

from dashboard.collector.snapshot_changes import between, of_launcher
from luabus.cluster.state import Alarm, RouterStats
from luabus.messages import Message
from tests.dashboard.cluster import ScriptedCluster, looked, table


async def test_nothing_happens_between_equal_looks() -> None:
    poller = await looked(ScriptedCluster())
    assert list(between(poller.snapshot, await poller.poll())) == []


async def test_routers_come_and_go() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    both_routers = poller.snapshot
    cluster.up["router.2"] = False
    one_router = await poller.poll()
    assert [(d.text, d.level) for d in between(both_routers, one_router)] == [
        ("router.2 does not answer", "warn")
    ]
    cluster.up["router.1"] = False
    no_router = await poller.poll()
    assert [(d.text, d.level) for d in between(one_router, no_router)] == [
        ("router.1 does not answer", "bad")
    ]
    assert [d.text for d in between(no_router, both_routers)] == [
        "router.1 answers again",
        "router.2 answers again",
    ]


async def test_a_master_changes_is_lost_and_found() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    first = poller.snapshot
    cluster.tables = {n: table(n, master=None) for n in ("router.1", "router.2")}
    without = await poller.poll()
    cluster.tables = {n: table(n, master="1.2") for n in ("router.1", "router.2")}
    other = await poller.poll()
    assert [d.text for d in between(first, without)] == ["director has no master: it was director.1"]
    assert [d.text for d in between(without, other)] == ["director.2 is master of director with epoch 4"]


async def test_an_alarm_is_told_once() -> None:
    old = (await looked(ScriptedCluster())).snapshot
    alarm = Alarm(kind="epoch", text="two masters with epoch 4", since=5.0)
    router = replace(old.routers[0], stats=RouterStats(router="router.1", alarms=(alarm,)))
    new = replace(old, routers=(router, *old.routers[1:]))
    assert [(d.text, d.level, d.at) for d in between(old, new)] == [
        ("router.1: two masters with epoch 4", "warn", 5.0)
    ]
    assert list(between(new, new)) == []


async def test_an_alarm_of_both_routers_is_one_event() -> None:
    old = (await looked(ScriptedCluster())).snapshot
    text = "router.1 and router.2 have different tables for group mail"
    alarm = Alarm(kind="tables differ", text=text, since=5.0)
    first, second = (replace(r, stats=RouterStats(router=r.name, alarms=(alarm,))) for r in old.routers)
    at_one = replace(old, routers=(first, old.routers[1]))
    at_both = replace(old, routers=(first, second))
    steps = ((old, at_one), (at_one, at_both), (at_both, at_both))
    events = [event for before, after in steps for event in between(before, after)]
    assert [(d.text, d.level) for d in events] == [(text, "warn")]
    assert [(d.text, d.level) for d in between(old, at_both)] == [(text, "warn")]


async def test_the_launcher_is_lost_and_found() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    with_it = poller.snapshot
    cluster.launcher = False
    without = await poller.poll()
    assert [d.level for d in between(with_it, without)] == ["bad"]
    assert [d.text for d in between(without, with_it)] == ["the launcher answers again"]


def test_events_of_the_launcher() -> None:
    waits = Message("text", text="mail.1 waits")
    draft = of_launcher(
        {"id": 1, "at": 5, "kind": "state", "name": "mail.1", "message": waits.as_map(), "state": "backoff"}
    )
    assert (draft.kind, draft.subject, draft.text, draft.level, draft.at) == (
        "state", "mail.1", "mail.1 waits", "warn", 5.0,
    )  # fmt: skip
    assert of_launcher({}).at is None
