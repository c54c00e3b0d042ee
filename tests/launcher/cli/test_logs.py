"""`logs`: from the files, also of a stopped cluster; and followed across a restart."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.launcher.harness import ClusterRun, child, until


def test_each_line_has_time_name_and_stream(steady: ClusterRun) -> None:
    lines = [line.split(maxsplit=1) for line in steady.ok("logs", "web.1").out.splitlines()]
    assert {text.split()[0] for _, text in lines} == {"web.1"}
    assert {text.split("| ")[1] for _, text in lines} == {"hello", "careful", "ready"}
    assert all(time[2] == time[5] == ":" for time, _ in lines)


def test_all_are_merged_by_time(steady: ClusterRun) -> None:
    lines = [json.loads(line) for line in steady.ok("logs", "--json").out.splitlines()]
    assert {line["name"] for line in lines} >= {"web.1", "web.2", "greeter.1", "router.1"}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


def test_raw_and_a_number(steady: ClusterRun) -> None:
    assert steady.ok("logs", "--raw", "web").out.count("hello\n") == 2
    assert steady.ok("logs", "-n", "0").out == ""
    assert len(steady.ok("logs", "-n", "2").out.splitlines()) == 2


def test_of_one_that_has_printed_nothing_there_is_nothing_to_show(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": ["sleep", "9"]}, "mute": {"command": ["sleep", "9"]}})
    logs = cluster.file.parent / ".luabus" / "logs"
    logs.mkdir(parents=True)
    (logs / "web.1.log").write_text("2026-01-31T12:00:00.000000Z out hello\n")
    assert cluster.ok("logs", "--raw", "web", "mute").out == "hello\n"
    assert cluster.ok("logs", "mute.1").out == ""
    assert cluster("logs", "deaf").code == 2


def test_unknown_names_and_no_logs(steady: ClusterRun, cluster: ClusterRun) -> None:
    done = steady("logs", "wbe")
    assert (done.code, 'there is no log of "wbe"; did you mean "web"?' in done.err) == (2, True)
    cluster.write({})
    done = cluster("logs")
    assert (done.code, "`luabus-cluster up` starts the cluster" in done.err) == (3, True)


@pytest.mark.parametrize("form", ["--raw"])
def test_following_goes_on_across_restarts_and_rotation_and_ends_with_the_cluster(
    cluster: ClusterRun, form: str
) -> None:
    web = {"command": child("lines=400", "ready", "wait"), "ready": {"log": "^ready$"}}
    cluster.write({"web": web}, extra="[logs]\nmax_size = 4000\nkeep = 1")
    cluster.ok("up", "-d")
    command = [
        sys.executable,
        "-m",
        "launcher",
        "-c",
        str(cluster.file),
        "logs",
        "-f",
        form,
        "-n",
        "1",
        "web",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "ready\n"
        cluster.request("restart", "web", {"wait": True})
        until(lambda: (cluster.run_dir.log_dir / "web.1.log.1").exists(), "it was rotated")
        cluster.ok("down")
        out, err = follower.communicate(timeout=20)
    assert [line for line in out.splitlines() if line.startswith("line ")] == [
        f"line {n}" for n in range(400)
    ]
    assert "the cluster has stopped" in err
    assert follower.returncode == 0
