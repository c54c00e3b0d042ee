"""lease repair: what it shows, sets right, and leaves, with the cluster down and running."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from luabus.limits import MAX_EPOCH
from tests.launcher.harness import ClusterRun, until

DIRECTOR = """
import luabus

service = luabus.Service()

@service.rpc
def who():
    return service.epoch()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterRun:
    run = ClusterRun(tmp_path / "cluster")
    run.module("director", DIRECTOR)
    run.write(
        {"director": {"run": "director:service", "group": 3, "instances": 2, "route": "master"}},
        extra="[lease]\nttl = 1.0\nrenew = 0.2",
    )
    return run


def poison(cluster: ClusterRun, epoch: int) -> None:
    address = cluster("lease", "repair", "--dry-run", "--json").json["store"]
    store = sqlite3.connect(address.removeprefix("sqlite:///"), isolation_level=None)
    store.execute("UPDATE luabus_lease SET epoch = ?, holder = 0", (epoch,))
    store.close()


def test_it_shows_sets_right_and_the_next_master_goes_on_from_there(cluster: ClusterRun) -> None:
    assert "no group has a lease in it" in cluster.ok("lease", "repair").out
    try:
        cluster.ok("up", "-d")
        until(lambda: cluster.status()["masters"]["director"], "a master")
        shown = cluster.ok("lease", "repair", "--json").json
        (row,) = shown["groups"]
        assert (row["name"], row["state"], row["epoch"], row["known"]) == ("director", "right", 1, 1)
        cluster.ok("down")
        poison(cluster, MAX_EPOCH)
        looked = cluster("lease", "repair", "--dry-run", "--json")
        assert (looked.code, looked.json["groups"][0]["state"]) == (1, "wrong")
        done = cluster.ok("lease", "repair", "--epoch", "500")
        assert "director" in done.out
        assert "4294967295" in done.out
        assert "repaired: goes on above 500" in done.out
        cluster.ok("up", "-d")
        until(lambda: cluster.status()["masters"]["director"], "a master")
        assert cluster.ok("call", "master:director", "who").json == 501
    finally:
        cluster("down")


def test_a_running_cluster_heals_by_itself(cluster: ClusterRun) -> None:
    try:
        cluster.ok("up", "-d")
        until(lambda: cluster.status()["masters"]["director"], "a master")
        poison(cluster, 1 << 32)
        until(lambda: cluster("lease", "repair", "--dry-run").code == 0, "the store is right again")
        until(lambda: cluster("call", "master:director", "who").out.strip() in ("2", "3"), "the next master")
    finally:
        cluster("down")
