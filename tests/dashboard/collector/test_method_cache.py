from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from dashboard.collector.method_cache import KEPT_S, MethodCache
from luabus.errors import NoRoute
from tests.dashboard.cluster import Clock, ScriptedCluster, looked

MAIL = 2


class Counting(ScriptedCluster):
    """Counts how often a group is asked what it declares, and answers when `go` is set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.questions = 0
        self.go = asyncio.Event()
        self.go.set()

    async def methods(self, group: int, timeout: float) -> Mapping[str, Any]:  # type: ignore[override]
        self.questions += 1
        await self.go.wait()
        return await super().methods(group, timeout)


@pytest.fixture
async def cluster() -> Counting:
    return Counting()


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def method_cache(cluster: Counting, clock: Clock) -> MethodCache:
    return MethodCache(await looked(cluster, clock), clock)


async def test_one_question_serves_all_for_a_while(
    method_cache: MethodCache, cluster: Counting, clock: Clock
) -> None:
    answers = await asyncio.gather(*(method_cache.of(MAIL) for _ in range(50)))
    assert set(answers[0].answers) == {"2.1", "2.2", "2.3"}
    assert await method_cache.of(MAIL) is answers[-1]
    assert cluster.questions == 1
    clock.at += KEPT_S
    assert (await method_cache.of(MAIL)).number > answers[0].number
    assert cluster.questions == 2


async def test_another_table_or_a_call_makes_the_answer_old(
    method_cache: MethodCache, cluster: Counting
) -> None:
    first = await method_cache.of(MAIL)
    method_cache.forget(MAIL)
    await asyncio.gather(*(method_cache.of(MAIL) for _ in range(50)))
    assert cluster.questions == 2
    await cluster.register("2.2", 0, False, "*")
    await method_cache.poller.poll()
    assert set((await method_cache.of(MAIL)).answers) == {"2.1", "2.3"} < set(first.answers)
    assert cluster.questions == 3


async def test_who_has_called_waits_for_figures_of_after_his_call(
    method_cache: MethodCache, cluster: Counting
) -> None:
    cluster.go.clear()
    early = asyncio.create_task(method_cache.of(MAIL))
    await asyncio.sleep(0)
    method_cache.forget(MAIL)
    late = asyncio.create_task(method_cache.of(MAIL))
    await asyncio.sleep(0)
    cluster.go.set()
    assert (await late).number > (await early).number
    assert (await method_cache.of(MAIL)) == await late


async def test_what_was_known_stays_while_the_group_cannot_be_asked(
    method_cache: MethodCache, cluster: Counting, clock: Clock
) -> None:
    known = await method_cache.of(MAIL)
    clock.at += KEPT_S
    cluster.fails = NoRoute("nobody is there")
    for _ in range(3):
        later = await method_cache.of(MAIL)
        assert (later.answers, str(later.error)) == (known.answers, "nobody is there")
    assert cluster.questions == 2


async def test_one_who_waits_no_longer_leaves_the_others_theirs(
    method_cache: MethodCache, cluster: Counting
) -> None:
    cluster.go.clear()
    gone, waits = (asyncio.create_task(method_cache.of(MAIL)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    cluster.go.set()
    assert (await waits).error is None
    cluster.go.clear()
    method_cache.forget(MAIL)
    asyncio.create_task(method_cache.of(MAIL)).cancel()
    await method_cache.stop()
