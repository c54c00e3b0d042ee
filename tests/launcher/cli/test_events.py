"""`events`: from the file and from the launcher, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

from launcher.cli.events import read_events
from tests.launcher.harness import ClusterRun, child


def test_what_happened_and_who_did_it(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("wait")}})
    assert cluster("events").code == 3
    cluster.ok("up", "-d")
    follower = subprocess.Popen(
        [sys.executable, "-m", "launcher", "-c", str(cluster.file), "events", "-f", "--json", "-n", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert follower.stdout is not None
    first = json.loads(follower.stdout.readline())
    assert first["id"] >= 1
    cluster.ok("stop", "web")
    kinds = []
    for line in follower.stdout:
        event = json.loads(line)
        assert event["id"] == first["id"] + len(kinds) + 1, "none twice, none lost"
        kinds.append(event["kind"])
        if event.get("state") == "exited":
            break
    assert kinds[0] == "stop"
    text = cluster.ok("events", "--since", "1h").out
    assert "web        stop web (by " in text
    assert cluster.ok("events", "-n", "0").out == ""
    newest = cluster.ok("events", "-n", "2", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in newest] == sorted(json.loads(line)["id"] for line in newest)
    cluster.ok("down")
    _, said = follower.communicate(timeout=20)
    assert (follower.returncode, said) == (0, "luabus-cluster: the cluster has stopped\n")
    assert "the cluster has stopped" in cluster.ok("events", "-n", "1").out, "also of a stopped cluster"
    assert cluster("events", "--since", "yonder").code == 2
    with cluster.run_dir.events_file.open("a") as file:
        file.write("no json\n[1]\n{}\n")
    assert all("text" in event for event in read_events(cluster.run_dir))
