"""Masters in a cluster that `luabus-cluster` runs: what its verbs and the HTTP API show and change."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.harness import ClusterRun, until

TTL, RENEW = 2.0, 0.25
TAKE_OVER_S = TTL + 2 * RENEW + 1.0
TOLD_S = 1.0

CHIEFS = """
import luabus

service = luabus.Service("chief")

@service.rpc
def who():
    return [str(service.service_id), service.epoch()]
"""


class Masters(ClusterRun):
    """Three chiefs, two routers, a dashboard."""

    def master(self) -> str | None:
        found: str | None = self.status()["masters"]["chief"]
        return found

    def tables(self) -> set[tuple[str | None, int]]:
        """(master, epoch) as `routes --json` has it from each router."""
        found = self("routes", "--json").json["routers"]
        assert len(found) == 2
        return {
            (group["master"], group["epoch"])
            for table in found
            for group in table["groups"]
            if group["group"] == 1
        }

    def everybody_says(self, master: str, epoch: int) -> float:
        """Waits until status and routes do; when it was so."""
        row = (f"1.{master.rpartition('.')[2]}", epoch)
        until(lambda: self.master() == master and self.tables() == {row}, f"{master} is master everywhere")
        return time.monotonic()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """A verb over HTTP."""
        token = (self.run_dir.path / "dashboard.token").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dashboard_port}{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Masters]:
    cluster = Masters(tmp_path / "cluster")
    cluster.module("chiefs", CHIEFS)
    cluster.write(
        {"chief": {"group": 1, "instances": 3, "run": "chiefs:service", "route": "master"}},
        routers=2,
        dashboard=True,
        extra=f"[lease]\nttl = {TTL}\nrenew = {RENEW}\n",
    )
    cluster.ok("up", "-d")
    yield cluster
    cluster.end()


def test_masters_as_the_cluster_shows_and_changes_them(cluster: Masters) -> None:
    first = until(cluster.master, "a master")
    assert isinstance(first, str)
    cluster.everybody_says(first, 1)

    # Killed: the launcher starts it again, and somebody else is master by then, as everybody says.
    killed_at = time.monotonic()
    cluster.ok("kill", first)
    errors: list[str] = []
    while (called := cluster("call", "master:chief", "who")).code:
        errors.append(called.err)
        assert time.monotonic() < killed_at + 20
    assert all("NoMaster" in error or "PeerLost" in error for error in errors), errors
    took_over_at = time.monotonic()
    assert (
        took_over_at - killed_at < TAKE_OVER_S + TOLD_S
    )  # some of which the launcher's and our own looks took
    service_id, epoch = json.loads(cluster.ok("call", "master:chief", "who").out)
    second = f"chief.{service_id.rpartition('.')[2]}"
    assert epoch == 2
    assert cluster.everybody_says(second, 2) - took_over_at < TOLD_S

    # By hand: from the command line, and over HTTP.
    until(lambda: cluster.process(first)["ready"], f"{first} is back")
    promoted_at = time.monotonic()
    done = cluster.ok("promote", first, "--json").json
    assert (done["master"], done["epoch"], done["changed"]) == (f"1.{first[-1]}", 3, True)
    assert cluster.everybody_says(first, 3) - promoted_at < 1.5 + TOLD_S
    promoted_at = time.monotonic()
    cluster.post("/api/v1/promote", {"service_id": second})
    assert cluster.everybody_says(second, 4) - promoted_at < 1.5 + TOLD_S
    asked, over_http = [event for event in cluster.request("events", 0, 1000) if "promote" in event["text"]]
    assert (asked["name"], asked["from"]) == (first, "command line")
    assert (over_http["name"], over_http["from"]) == (second, "127.0.0.1")
    for event in (asked, over_http):
        assert event["by"]
        assert abs(event["at"] - time.time()) < 60

    # A stop in order is a change at once.
    stopped_at = time.monotonic()
    cluster.ok("kill", second, "--signal", "SIGTERM")
    until(lambda: {epoch for _, epoch in cluster.tables()} == {5}, "somebody else is master")
    assert time.monotonic() - stopped_at < 1.5 + TOLD_S

    # Without a store: told, in words, until it is over.
    cluster.until_state(second, "exited")
    cluster.ok("start", second)
    until(cluster.master, "a master")
    with closing(sqlite3.connect(cluster.run_dir.path / "lease.db", isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        told = until(
            lambda: [
                text for text in cluster.status()["problems"] if "lease store unreachable since" in text
            ],
            "the outage is told",
        )
        assert all("lease store unreachable since 20" in text for text in told)
        assert cluster("status").code == 1
        until(lambda: cluster.master() is None, "nobody is master")
    back_at = time.monotonic()
    until(lambda: cluster.master() is not None, "a master")
    assert time.monotonic() - back_at < TTL + 3.0
    until(lambda: cluster.status()["state"] == "healthy", "all is well again")


def test_asking_twice_over_http_ends_in_the_same_state_as_asking_once(cluster: Masters) -> None:
    first = until(cluster.master, "a master")
    other, third = (name for name in ("chief.1", "chief.2", "chief.3") if name != first)
    here = {"router.1": "done", "router.2": "done"}

    def entry(name: str) -> set[str]:
        """How the routers have it."""
        slots = [
            slot
            for table in cluster("routes", "--json").json["routers"]
            for group in table["groups"]
            for slot in group["slots"]
            if slot["name"] == name
        ]
        return {"live" if slot["token"] else "vacant" for slot in slots}

    for token, there in ((0, {"vacant"}), ("own", {"live"})):
        for _ in range(2):
            said = cluster.post("/api/v1/register", {"service_id": third, "token": token})
            assert (said["results"], entry(third)) == (here, there)
    said = [cluster.post("/api/v1/register", {"service_id": third, "token": None}) for _ in range(2)]
    assert [one["results"] for one in said] == [here, dict.fromkeys(here, "nothing to remove")]
    assert entry(third) == set()
    cluster.post("/api/v1/register", {"service_id": third, "token": "own"})

    said = [cluster.post("/api/v1/promote", {"service_id": other}) for _ in range(2)]
    assert [(one["detail"]["epoch"], one["detail"]["changed"]) for one in said] == [(2, True), (2, False)]

    tables = cluster("routes", "--json").json["routers"]
    (token,) = (
        slot["token"]
        for table in tables
        if table["router"] == "router.1"
        for group in table["groups"]
        for slot in group["slots"]
        if slot["name"] == third
    )
    cluster.post("/api/v1/close", {"router": "router.1", "token": token})
    with pytest.raises(
        urllib.error.HTTPError
    ) as gone:  # it has ended, and its service is back with another one
        cluster.post("/api/v1/close", {"router": "router.1", "token": token})
    with gone.value as answer:
        assert (answer.code, f"token '{token}'" in json.load(answer)["detail"]) == (404, True)
    until(lambda: entry(third) == {"live"}, f"{third} is back")

    for verb, state in (("stop", "exited"), ("start", "running")):
        pids = []
        for _ in range(2):
            cluster.post(f"/api/v1/{verb}", {"name": third})
            pids.append(cluster.until_state(third, state)["pid"])
        assert pids[0] == pids[1]  # what runs is not started again
    for count in (2, 3):
        for _ in range(2):
            cluster.post("/api/v1/scale", {"service": "chief", "instances": count})
            until(
                lambda count=count: (
                    [row["state"] for row in cluster.status()["processes"] if row["service"] == "chief"]
                    == ["running"] * count
                ),
                f"{count} chiefs run",
            )
