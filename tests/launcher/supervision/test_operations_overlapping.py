"""Verbs that overlap, and those that wait for what does not come: each ends, and says how."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from launcher.runtime.control_client import Control
from luabus.errors import Refused
from tests.launcher.harness import ClusterRun, child, until

WAIT = {"by": "test", "wait": True, "yes": True}
QUICK = {"backoff": 0.05, "stop_timeout": 2.0}
READY: dict[str, Any] = {
    "command": child("fail-if=bad", "ready", "wait"),
    "ready": {"log": "ready"},
    "cwd": ".",
    "restart": QUICK,
}
SLOW: dict[str, Any] = {
    **READY,
    "command": child("ignore=SIGTERM", "ready", "wait"),
    "restart": {"stop_timeout": 0.6},
}
"""Takes a while to stop."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("overlapping") / "cluster")
    run.write({})
    run.ok("up", "-d")
    yield run
    run.end()


@pytest.fixture
def cluster(shared: ClusterRun) -> Iterator[ClusterRun]:
    """The shared cluster, with no services but those a test adds."""
    yield shared
    shared.write({})
    assert shared.request("reload", False, WAIT)["ok"]
    assert [row["name"] for row in shared.status()["processes"]] == ["router.1"]


def add(cluster: ClusterRun, **services: dict[str, Any]) -> None:
    cluster.write(services)
    assert cluster.request("reload", False, WAIT)["ok"]


def pids(cluster: ClusterRun) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in cluster.status()["processes"]}


def verbs_seen(cluster: ClusterRun) -> int:
    lines = cluster.run_dir.events_file.read_text().splitlines()
    return sum(bool(json.loads(line)["by"]) for line in lines)


class Meanwhile:
    """Verbs at the same time, each on its own connection; none may take longer than the patience of one request."""

    def __init__(self, cluster: ClusterRun) -> None:
        self._cluster = cluster
        self._pool = ThreadPoolExecutor(8)

    def __enter__(self) -> Meanwhile:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def __call__(self, verb: str, *arguments: Any) -> Future[dict[str, Any]]:
        """Begins a verb, and returns when the launcher has begun with it."""
        seen = verbs_seen(self._cluster)
        future = self._pool.submit(self._cluster.request, verb, *arguments, WAIT, timeout=20.0)
        until(lambda: verbs_seen(self._cluster) > seen, f"{verb} has begun")
        return future


def test_scaling_up_again_while_instances_still_stop(cluster: ClusterRun) -> None:
    add(cluster, slow={**SLOW, "instances": 3})
    before = pids(cluster)
    with Meanwhile(cluster) as begin:
        down, up = begin("scale", "slow", 1), begin("scale", "slow", 3)
        assert down.result()["ok"]
        assert up.result()["processes"] == {"slow.2": "running", "slow.3": "running"}
    after = pids(cluster)
    assert after["slow.1"] == before["slow.1"]
    assert all(after[name] != before[name] for name in ("slow.2", "slow.3"))
    for verb in ("stop", "restart"):
        cluster.request(verb, "slow.3", WAIT, timeout=20.0)


def test_reloads_that_overlap(cluster: ClusterRun) -> None:
    add(cluster, slow={**SLOW, "instances": 3})
    with Meanwhile(cluster) as begin:
        cluster.write({"slow": {**SLOW, "instances": 1}})
        first = begin("reload", False)
        cluster.write({"slow": {**SLOW, "instances": 3, "env": {"NEW": "1"}}})
        second = begin("reload", False)
        assert first.result()["ok"]
        assert second.result()["ok"]
    assert {"slow.1", "slow.2", "slow.3"} <= pids(cluster).keys()
    assert b"NEW=1" in Path(f"/proc/{pids(cluster)['slow.1']}/environ").read_bytes().split(b"\0")
    assert cluster.request("reload", False, WAIT)["text"] == "nothing to change"


def test_a_restart_ends_when_what_it_would_come_to_is_removed(cluster: ClusterRun) -> None:
    add(cluster, slow={**SLOW, "instances": 3})
    with Meanwhile(cluster) as begin:
        restart, scale = begin("restart", "slow"), begin("scale", "slow", 1)
        assert scale.result()["ok"]
        done = restart.result()
    killed = "slow.1 did not end within 0.6 s and was killed"
    assert (done["ok"], done["text"]) == (
        False,
        f"slow.2 was removed meanwhile; not touched: slow.3; {killed}",
    )
    assert done["processes"] == {"slow.1": "running", "slow.2": "removed", "slow.3": "removed"}


def test_what_is_on_its_way_out_is_not_started(cluster: ClusterRun) -> None:
    add(cluster, slow={**SLOW, "instances": 2})
    with Meanwhile(cluster) as begin:
        scale, start, stop = begin("scale", "slow", 1), begin("start", "slow.2"), begin("stop", "slow.2")
        assert scale.result()["ok"]
        assert stop.result()["processes"] == {"slow.2": "removed"}
        assert not start.result()["ok"]
    with Meanwhile(cluster) as begin:
        cluster.request("scale", "slow", 2, WAIT)
        scale, start = begin("scale", "slow", 1), begin("start", "slow.2")
        assert scale.result()["ok"]
        assert start.result()["text"] == "slow.2 was removed meanwhile"


def test_a_stop_ends_a_start_that_waits(cluster: ClusterRun) -> None:
    cluster.write({"shy": {"command": child("wait"), "ready": {"log": "never"}}})
    with Meanwhile(cluster) as begin:
        reload = begin("reload", False)
        restart = begin("restart", "shy")
        stop = begin("stop", "shy")
        assert stop.result()["processes"] == {"shy.1": "exited"}
        assert "shy.1 was stopped meanwhile" in reload.result()["text"]
        done = restart.result()
    assert (done["ok"], done["text"]) == (False, "shy.1 was stopped meanwhile")
    assert cluster.process("shy.1")["wanted"] is False


def test_start_of_what_depends_on_something_stopped_says_what_to_start_first(cluster: ClusterRun) -> None:
    add(cluster, db=READY, front={**READY, "depends_on": ["db"]})
    cluster.request("stop", ["front", "db"], WAIT)
    done = cluster("start", "front")
    assert done.code == 1
    assert "front.1 did not come up: waits for db.1, which does not run; start db.1 first" in done.out
    assert cluster.request("start", "db", WAIT)["ok"]
    cluster.until_state("front.1", "running")  # it went on waiting
    cluster.request("stop", ["front", "db"], WAIT)
    assert cluster.ok("start", "front", "db", "--json").json["processes"] == {
        "db.1": "running",
        "front.1": "running",
    }


def test_a_reload_ends_when_a_new_dependency_fails(cluster: ClusterRun) -> None:
    broken = {
        "command": child("sleep=0.3", "exit=3"),
        "ready": {"log": "ready"},
        "restart": {**QUICK, "crash_limit": 2},
    }
    cluster.write({"front": {**READY, "depends_on": ["broken"]}, "broken": broken})
    done = cluster("reload")
    assert done.code == 1
    assert "front.1 did not come up: waits for broken, which failed; start broken.1 first" in done.out
    assert cluster.request("stop", "front", WAIT, timeout=20.0)["ok"]


def test_a_reload_that_was_broken_off_is_taken_up_again_by_the_next(cluster: ClusterRun) -> None:
    add(cluster, web={**READY, "instances": 3})
    (cluster.folder / "bad").touch()
    cluster.write({"web": {**READY, "instances": 3, "env": {"NEW": "1"}}})
    assert "not touched: web.2, web.3" in cluster.request("reload", False, WAIT)["text"]
    (cluster.folder / "bad").unlink()
    cluster.until_state("web.1", "running")
    again = cluster.request("reload", False, WAIT)
    assert (again["ok"], sorted(again["changed"])) == (True, ["web.2", "web.3"])


async def test_a_stop_and_a_restart_that_come_together_both_end(cluster: ClusterRun) -> None:
    await asyncio.to_thread(add, cluster, web=READY)
    async with Control(cluster.run_dir) as control:
        verbs = ("stop", "restart", "stop", "start", "restart")
        asked = (control.request(verb, "web.1", WAIT, timeout=20.0) for verb in verbs)
        assert len(await asyncio.gather(*asked)) == len(verbs)


@pytest.mark.parametrize("seed", range(2))
def test_verbs_in_any_order_all_end(cluster: ClusterRun, seed: int) -> None:
    def services(dice: random.Random) -> dict[str, dict[str, Any]]:
        back = {**READY, "instances": dice.randint(1, 2), "env": {"X": str(dice.randint(0, 2))}}
        front = {**READY, "instances": dice.randint(0, 3), "depends_on": ["back"]}
        return {"front": front, "back": back, "slow": {**SLOW, "instances": dice.randint(1, 3)}}

    def ask(number: int) -> None:
        dice = random.Random(10 * seed + number)
        for _ in range(6):
            name = dice.choice(["front", "back", "slow", "front.1", "back.1", "slow.2"])
            verb = dice.choice(["start", "stop", "restart", "scale", "reload"])
            arguments: tuple[Any, ...] = (name,)
            if verb == "scale":
                arguments = (name.partition(".")[0], dice.randint(1, 3))
            elif verb == "reload":
                with writing:
                    cluster.write(services(dice))
                arguments = (False,)
            with contextlib.suppress(Refused):  # such as of an instance that is gone
                cluster.request(verb, *arguments, WAIT, timeout=30.0)

    writing = threading.Lock()
    add(cluster, **services(random.Random(seed)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    for name in ("back", "front", "slow"):
        cluster.request("scale", name, 2, WAIT, timeout=30.0)
    assert cluster.request("start", ["back", "front", "slow"], WAIT, timeout=30.0)["ok"]
    states = {row["name"]: row["state"] for row in cluster.status()["processes"]}
    assert len(states) == 7
    assert set(states.values()) == {"running"}, states
