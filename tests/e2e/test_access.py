"""A launched cluster in which nobody may call anybody who does not name him, as its owner sees it on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.harness import ClusterRun, Done, until

SERVICES = """
import asyncio

import luabus


def made(name):
    service = luabus.Service(name)

    @service.rpc
    def who():
        return f"{name}.{service.service_id.instance}"

    @service.rpc
    def purge():
        return "purged"

    @service.rpc
    async def relay(route, method):
        try:
            return await service.bus.route(route).request(method)
        except luabus.LuabusError as error:
            return f"{type(error).__name__}: {error}"

    @service.rpc
    async def relay_to_all(group, method):
        found = await service.bus.broadcast(group).gather(method)
        return [type(answer).__name__ for answer in found.values()]

    return service



async def job():
    # On the bus without an id; the environment is the launcher's.
    async with luabus.connect(timeout=20) as bus:
        for route, method in (("random:mail", "who"), ("target:mail.2", "purge"), ("random:gateway", "who")):
            try:
                print("job:", await bus.route(route).request(method), flush=True)
            except luabus.Forbidden as error:
                print("job:", error, flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(job())

mail, gateway, director, box = map(made, ("mail", "gateway", "director", "box"))
"""

DENY = '[access]\ndefault = "deny"\n'


def services(**mail: Any) -> dict[str, dict[str, Any]]:
    return {
        "mail": {
            "run": "services:mail", "group": 2, "instances": 2, "route": "hash", "callers": ["gateway", "director", "job"],
            "methods": {"purge": ["director", "job"]}, **mail,
        },
        "gateway": {"run": "services:gateway", "group": 1, "callers": ["client"]},
        "director": {"run": "services:director", "group": 3, "callers": ["client"]},
        "job": {"command": [sys.executable, "-P", "services.py"], "depends_on": ["mail", "gateway"]},
    }  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path / "cluster")
    run.module("services", SERVICES)
    run.write(services(), routers=2, extra=DENY)
    run.ok("up", "-d")
    yield run
    run.end()


def pids(cluster: ClusterRun) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in cluster.status()["processes"]}


def called(cluster: ClusterRun, *words: str) -> Any:
    return json.loads(cluster.ok("call", *words).out)


def refused(done: Done, words: str) -> None:
    assert done.code == 1, done
    assert "Forbidden" in done.err, done
    assert words in done.err, done


def test_a_cluster_that_denies(cluster: ClusterRun) -> None:
    assert called(cluster, "random:gateway", "relay", "target:mail.1", "who") == "mail.1"
    refused(
        cluster("call", "target:mail.1", "who"), "client may not call mail; allowed: director, gateway, job"
    )
    refused(
        cluster("call", "broadcast:mail", "who"), "client may not call mail; allowed: director, gateway, job"
    )
    answer = called(cluster, "random:director", "relay", "target:gateway.1", "who")
    assert answer == "Forbidden: director may not call gateway; allowed: client"
    done = cluster("call", "target:mail.1", "who")
    assert "; `--as director` calls as that service" in done.err
    assert called(cluster, "--as", "gateway", "target:mail.1", "who") == "mail.1"
    refused(
        cluster("call", "--as", "gateway", "target:mail.1", "purge"), "gateway may not call mail.1's purge"
    )
    # One without an id is known by its key, by the routers and by the callee.
    until(lambda: "client" in cluster.log("job.1"), "the job's three calls")
    assert [line.partition("job: ")[2] for line in cluster.log("job.1").splitlines() if "job: " in line] == [
        "mail.1" if "job: mail.1" in cluster.log("job.1") else "mail.2", "purged", "job may not call gateway; allowed: client",
    ]  # fmt: skip
    # A method that is narrower than its service.
    answer = called(cluster, "random:gateway", "relay", "target:mail.2", "purge")
    assert answer == "Forbidden: gateway may not call mail.2's purge; allowed: director, job"
    assert called(cluster, "random:gateway", "relay_to_all", "mail", "purge") == ["Forbidden", "Forbidden"]
    assert called(cluster, "random:director", "relay_to_all", "mail", "purge") == ["str", "str"]

    before = pids(cluster)
    # A changed file, told while everything runs.
    cluster.write(services(callers=["gateway", "director", "client", "job"]), routers=2, extra=DENY)
    assert "tell the routers: services.mail.callers" in cluster.ok("reload", "--dry-run").out
    cluster.ok("reload")
    assert called(cluster, "target:mail.1", "who") == "mail.1"
    refused(
        cluster("call", "target:mail.1", "purge"),
        "client may not call mail.1's purge; allowed: director, job",
    )
    changed = services(callers=["director"], methods={})
    changed["box"] = {"run": "services:box", "group": 9, "callers": ["client"]}
    cluster.write(changed, routers=2, extra=DENY)
    cluster.ok("reload")
    assert called(cluster, "target:box.1", "who") == "box.1"
    assert called(cluster, "random:director", "relay", "target:mail.1", "purge") == "purged"
    after = pids(cluster)
    assert {name: after[name] for name in before} == before, "nothing was restarted"

    # A service that is taken out of the file again leaves nothing behind.
    del changed["box"]
    cluster.write(changed, routers=2, extra=DENY)
    cluster.ok("reload", "--yes")
    assert "there is no group named 'box'" in cluster("call", "target:box.1", "who").err
    cluster.ok("status")

    # A router that comes back reads it.
    for name in ("router.1", "router.2"):
        cluster.ok("kill", name)
        until(lambda name=name: pids(cluster)[name] not in (None, after[name]), "another process")  # type: ignore[misc]
        cluster.until_state(name, "running")
    refused(cluster("call", "target:mail.1", "who"), "client may not call mail; allowed: director")

    # Again and again is an alarm.
    for _ in range(22):  # each time by either of two routers
        cluster("call", "target:mail.1", "who")
    until(
        lambda: "client is refused again and again: mail does not let it in" in cluster("status").out,
        "the alarm",
    )


def test_who_may_be_called_is_checked_in_the_file(tmp_path: Path) -> None:
    run = ClusterRun(tmp_path / "cluster")
    wrong = services(callers=["gatevay"], methods={"purge": ["director"]})
    wrong["gateway"]["callers"] = ["dashboard"]
    wrong["job"]["callers"] = ["gateway"]
    run.write(wrong, extra='[access]\ndefault = "maybe"\nadmin = ["ops"]\n')
    assert 'access.default: found "maybe"' in run("check").err
    run.write(wrong, extra='[access]\nadmin = ["ops"]\n')
    done = run("check")
    assert done.code == 2
    for words in (
        'access.admin[0]: there is no service "ops"',
        'services.mail.callers[0]: there is no service "gatevay"; did you mean "gateway"?',
        'services.mail.methods.purge[0]: found "director", whom services.mail.callers does not let in',
        'services.gateway.callers[0]: there is no service "dashboard"',
        "services.job.callers: found without a group",
    ):  # fmt: skip
        assert words in done.err, done.err
