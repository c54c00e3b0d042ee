from __future__ import annotations

from dashboard.collector.method_cache import MethodCache
from dashboard.collector.method_sampler import MethodSampler, counts
from dashboard.collector.time_series import History
from luabus.errors import NoRoute
from tests.dashboard.cluster import Clock, ScriptedCluster, looked, method


async def test_the_difference_of_two_rounds_is_what_was_done() -> None:
    cluster, clock = ScriptedCluster(), Clock()
    history = History()
    handlers = MethodSampler(MethodCache(await looked(cluster, clock)), history, clock)
    await handlers.look()
    assert history.latest(clock.at) == {}
    clock.at += 10
    cluster.declared = [method("stats", calls=103), method("luabus.ping", calls=5000)]
    await handlers.look()
    latest = history.latest(clock.at)
    # Three mailboxes and two directors did a hundred calls each in ten seconds.
    assert latest["calls"] == {"all": 50.0}
    assert latest["errors"] == {"all": 0.0}
    assert 0.5 < latest["handlers"]["p50"] < latest["handlers"]["p99"] < 1.1


async def test_an_instance_that_began_again_is_left_out_once() -> None:
    cluster, clock = ScriptedCluster(), Clock()
    history = History()
    handlers = MethodSampler(MethodCache(await looked(cluster, clock)), history, clock)
    await handlers.look()
    clock.at += 10
    cluster.declared = [method("stats", calls=1)]
    await handlers.look()
    assert history.latest(clock.at) == {}


async def test_a_group_that_does_not_answer_is_no_error() -> None:
    cluster, clock = ScriptedCluster(), Clock()
    handlers = MethodSampler(MethodCache(await looked(cluster, clock)), History(), clock)
    cluster.fails = NoRoute("gone")
    await handlers.look()


def test_luabus_own_methods_are_not_counted() -> None:
    assert counts([method("a", calls=2), method("luabus.ping", calls=9), {"name": "b"}])[:2] == (2, 0)
