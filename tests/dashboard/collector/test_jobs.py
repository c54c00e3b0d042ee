from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dashboard.collector.jobs import SHOWN_S, Jobs
from luabus.errors import Refused
from tests.dashboard.cluster import Clock, ScriptedCluster, looked, process


async def test_what_is_done_or_refused_at_once_is_no_job() -> None:
    async def work() -> Any:
        return {"ok": True}

    async def refuse() -> Any:
        raise Refused("the cluster is stopping")

    jobs, snapshot = Jobs(Clock()), (await looked(ScriptedCluster())).snapshot
    assert await jobs.begin("start", "mail", work(), snapshot) == (1, {"ok": True})
    with pytest.raises(Refused):
        await jobs.begin("start", "mail", refuse(), snapshot)
    assert jobs.shown(snapshot) == ()


async def test_a_rolling_restart_tells_how_far_it_is_and_how_it_ended() -> None:
    cluster, clock = ScriptedCluster(), Clock()
    poller = await looked(cluster, clock)
    jobs, changed, end = Jobs(clock), asyncio.Event(), asyncio.Event()
    jobs.subscribe(changed.set)

    async def work() -> Any:
        await end.wait()
        return {"ok": False, "text": "mail.3 did not come up"}

    number, result = await jobs.begin("restart", "mail", work(), poller.snapshot)
    assert (number, result) == (1, None)
    (job,) = jobs.shown(poller.snapshot)
    assert (job.state, job.done, job.total) == ("running", 0, 3)
    cluster.processes[4] = process("mail.1", "2.1", pid=900)
    cluster.processes[5] = process("mail.2", "2.2", pid=901, state="starting")
    (job,) = jobs.shown(await poller.poll())
    assert (job.done, job.total) == (1, 3)
    changed.clear()
    end.set()
    await changed.wait()
    (job,) = jobs.shown(poller.snapshot)
    assert (job.state, job.text) == ("failed", "mail.3 did not come up")
    clock.at += 21 * SHOWN_S
    assert jobs.shown(poller.snapshot) == ()


async def test_what_becomes_of_its_processes_after_its_end_is_no_progress() -> None:
    cluster, clock = ScriptedCluster(), Clock()
    poller = await looked(cluster, clock)
    jobs, end, news = Jobs(clock), asyncio.Event(), asyncio.Event()
    jobs.subscribe(news.set, look=poller.poll)

    async def work() -> Any:
        await end.wait()
        return {"ok": False, "text": "mail.2 did not come up"}

    await jobs.begin("restart", "mail", work(), poller.snapshot)
    # The last one of its own came up just before its end: the look after that counts it.
    cluster.processes[4] = process("mail.1", "2.1", pid=900)
    end.set()
    while not (shown := jobs.shown(poller.snapshot))[0].text or not shown[0].done:
        news.clear()
        await news.wait()
    cluster.processes[5] = process("mail.2", "2.2", pid=901)
    cluster.processes[4] = process("mail.1", "2.1", state="backoff", pid=None)
    (job,) = jobs.shown(await poller.poll())
    assert (job.state, job.done, job.total) == ("failed", 1, 3)
    cluster.processes[6] = process("mail.3", "2.3", pid=902)
    (job,) = jobs.shown(await poller.poll())
    assert job.done == 1


async def test_scaling_down_counts_those_that_are_gone() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    jobs, never = Jobs(Clock()), asyncio.Event()
    await jobs.begin("scale", "mail", never.wait(), poller.snapshot, 1)
    del cluster.processes[6]
    (job,) = jobs.shown(await poller.poll())
    assert (job.done, job.total) == (1, 2)
    await jobs.stop()
    assert jobs.shown(poller.snapshot)[0].text == "the dashboard ended"
