from __future__ import annotations

from typing import Any

from dashboard.collector.journal import Journal
from dashboard.collector.poller import Poller
from dashboard.collector.recorder import Recorder
from luabus.messages import Message
from tests.dashboard.cluster import Clock, ScriptedCluster


def launcher_event(number: int, text: str, at: float, name: str = "mail.1", **more: Any) -> dict[str, Any]:
    message = Message("text", text=f"{name} {text}").as_map()
    event = {"id": number, "at": at, "kind": "state", "name": name, "message": message, "by": "", "from": ""}
    return event | more


def set_up(cluster: ScriptedCluster, journal: Journal) -> Poller:
    poller = Poller(cluster, now=Clock())
    Recorder(journal, poller)
    return poller


async def test_what_the_launcher_says_is_written_down_once() -> None:
    journal = Journal(None, Clock())
    cluster = ScriptedCluster(
        events=[
            launcher_event(1, "started", 10.0),
            launcher_event(2, "running → failed", 11.0, state="failed"),
        ]
    )
    poller = set_up(cluster, journal)
    await poller.poll()
    await poller.poll()
    cluster.events.append(
        launcher_event(
            3, "kill with SIGKILL", 12.0, by="admin by session (dashboard)", **{"from": "127.0.0.1"}
        )
    )
    await poller.poll()
    events = journal.find()
    assert [(e.text, e.level, e.source) for e in events] == [
        ("mail.1 started", "ok", "launcher"),
        ("mail.1 running → failed", "bad", "launcher"),
        ("mail.1 kill with SIGKILL", "ok", "launcher"),
    ]
    assert (events[2].by, events[2].origin, events[2].at) == (
        "admin by session (dashboard)", "127.0.0.1", "1970-01-01T00:00:12.000Z",
    )  # fmt: skip


async def test_a_dashboard_that_was_started_anew_writes_nothing_twice() -> None:
    journal = Journal(None, Clock())
    cluster = ScriptedCluster(events=[launcher_event(1, "started", 10.0)])
    await set_up(cluster, journal).poll()
    cluster.events.append(launcher_event(2, "running", 11.0))
    await set_up(cluster, journal).poll()
    assert [e.text for e in journal.find()] == ["mail.1 started", "mail.1 running"]


async def test_another_launcher_counts_from_one_again() -> None:
    journal = Journal(None, Clock())
    cluster = ScriptedCluster(events=[launcher_event(n, f"event {n}", 10.0 + n) for n in range(1, 6)])
    poller = set_up(cluster, journal)
    await poller.poll()
    cluster.pid, cluster.events = 2, [launcher_event(1, "started anew", 50.0)]
    await poller.poll()
    await poller.poll()
    assert [e.text for e in journal.find()][-1] == "mail.1 started anew"


async def test_what_is_seen_is_written_down() -> None:
    journal = Journal(None, Clock())
    cluster = ScriptedCluster()
    poller = set_up(cluster, journal)
    await poller.poll()
    cluster.up["router.2"] = False
    await poller.poll()
    cluster.up["router.2"] = True
    await poller.poll()
    assert [e.text for e in journal.find(kind="router")] == [
        "router.2 does not answer",
        "router.2 answers again",
    ]


async def test_the_cause_is_written_before_its_effect() -> None:
    journal, clock = Journal(None, Clock()), Clock()
    cluster = ScriptedCluster()
    poller = Poller(cluster, now=clock)
    Recorder(journal, poller)
    await poller.poll()
    # In one look: router.2 is killed and started anew, and while the routers answer the launcher writes on.
    began = clock.at
    cluster.events += [launcher_event(1, "kill with SIGKILL", began + 0.2, name="router.2", kind="verb")]
    cluster.up["router.2"] = False
    read_routes = cluster.routes

    async def routes() -> Any:
        cluster.events.append(launcher_event(2, "ended by SIGKILL", began + 0.3, name="router.2"))
        cluster.events.append(launcher_event(3, "is started anew", began + 1.5, name="router.2"))
        return await read_routes()

    cluster.routes = routes  # type: ignore[method-assign]
    clock.at += 1
    await poller.poll()
    events = journal.find()
    assert [e.text for e in events] == [
        "router.2 kill with SIGKILL",
        "router.2 ended by SIGKILL",
        "router.2 does not answer",
        "router.2 is started anew",
    ]
    assert [e.at for e in events] == sorted(e.at for e in events)


async def test_an_event_that_is_not_understood_is_left_out() -> None:
    journal = Journal(None, Clock())
    cluster = ScriptedCluster(events=[launcher_event(1, "fine", 1.0)])
    poller = set_up(cluster, journal)
    cluster.events.append({"id": 2, "at": "long ago", "state": None})
    await poller.poll()
    assert journal.find()[0].text == "mail.1 fine"
