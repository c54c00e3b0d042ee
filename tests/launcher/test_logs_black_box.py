"""Logs of a real cluster: moved, removed, asked for by signals, followed as JSON, and what a failed start shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.harness import ClusterRun, alive, child, until

INTERLEAVED = [word for n in range(20) for word in (f"say=out {n}", f"err=err {n}")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    """Up in the background: `mixed` merges its streams, `prompt` is ready by a line without newline, `levels` logs to stderr."""
    run = ClusterRun(tmp_path_factory.mktemp("logs") / "cluster")
    run.write(
        {
            "mixed": {"command": child(*INTERLEAVED, "wait"), "merge_streams": True},
            "prompt": {"command": child(f"raw={b'login> '.hex()}", "wait"), "ready": {"log": "^login> $"}},
            "levels": {
                "command": child("err=INFO    a: fine", "err=ERROR   a: bad", "say=plain", "ready", "wait"),
                "ready": {"log": "ready"},
            },
        }
    )
    run.ok("up", "-d")
    yield run
    run.end()


def tell(run: ClusterRun, number: int) -> list[dict[str, Any]]:
    """The events that a signal to the launcher's guard makes, when there is one."""
    last = run.request("events", 0, 1)[-1]["id"]
    guard = json.loads(run.run_dir.control_file.read_text())["guard"]
    os.kill(guard, number)
    events: list[dict[str, Any]] = until(lambda: run.request("events", last, 10), "an event")
    return events


def test_merged_streams_keep_their_order(run: ClusterRun) -> None:
    lines = [json.loads(line) for line in run.ok("logs", "--json", "mixed").out.splitlines()]
    assert [line["line"] for line in lines] == [word.partition("=")[2] for word in INTERLEAVED]
    assert {line["stream"] for line in lines} == {"out"}


def test_a_line_says_when_who_how_and_of_which_level(run: ClusterRun) -> None:
    lines = [json.loads(line) for line in run.ok("logs", "--json", "levels").out.splitlines()]
    assert {(line["name"], line["stream"], line["level"], line["line"]) for line in lines} == {
        ("levels.1", "err", "INFO", "INFO    a: fine"),
        ("levels.1", "err", "ERROR", "ERROR   a: bad"),
        ("levels.1", "out", None, "plain"),
        ("levels.1", "out", None, "ready"),
    }
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)


def test_grep_and_since(run: ClusterRun) -> None:
    assert run.ok("logs", "--raw", "--grep", r"out 1\d$", "-n", "2", "mixed").out.split("\n")[:-1] == [
        "out 18",
        "out 19",
    ]
    assert "bad" in run.ok("logs", "--grep", "error", "levels").out
    assert run.ok("logs", "--grep", "(?-i:error)", "levels").out == ""
    assert run.ok("logs", "--since", "2040-01-01", "levels").out == ""
    assert len(run.ok("logs", "--since", "1h", "levels").out.splitlines()) == 4
    for wrong in (("--grep", "("), ("--since", "soon")):
        done = run("logs", *wrong)
        assert (done.code, done.out) == (2, "")
        assert wrong[1] in done.err


def test_what_was_moved_is_begun_anew_at_once_by_a_signal_that_ends_nothing(run: ClusterRun) -> None:
    pids = {row["name"]: row["pid"] for row in run.status()["processes"]}
    logs = run.run_dir.log_dir
    files = [logs / "levels.1.log", run.run_dir.events_file, logs / "launcher.stderr"]
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        for file in files:
            file.rename(file.with_name(f"{file.name}.moved-by-{number}"))
        events = tell(run, number)
        assert f"{signal.Signals(number).name}: the logs were opened anew" in [e["text"] for e in events]
        assert all(file.exists() for file in files)
    os.kill(run.launcher_pid, signal.SIGUSR1)  # not to the guard
    for name in ("router.1",):  # `systemctl kill -s USR1` tells all
        os.kill(pids[name], signal.SIGUSR1)
    assert {row["name"]: row["pid"] for row in run.status()["processes"]} == pids
    assert os.path.samestat((logs / "launcher.stderr").stat(), os.stat(f"/proc/{run.launcher_pid}/fd/2"))


def test_what_was_removed_is_there_again_within_seconds(run: ClusterRun) -> None:
    files = [
        run.run_dir.log_dir / "mixed.1.log",
        run.run_dir.log_dir / "launcher.stderr",
        run.run_dir.events_file,
    ]
    for file in files:
        file.unlink()
    until(lambda: all(file.exists() for file in files), "the files")


def test_another_up_spoils_no_file(run: ClusterRun) -> None:
    stderr = run.run_dir.log_dir / "launcher.stderr"
    stderr.write_text("last words\n")
    before = {file: file.read_bytes() for file in run.run_dir.log_dir.iterdir()}
    for options in (["-d"], [], ["--json"]):
        done = run("up", *options)
        assert done.code == 1
        assert str(run.launcher_pid) in done.err
    assert {file: file.read_bytes() for file in run.run_dir.log_dir.iterdir()} == before


def test_following_what_fits_only(run: ClusterRun) -> None:
    run.request("restart", "mixed", {"wait": True})
    until(lambda: "out 19" in run.log("mixed"), "its output")
    command = [
        sys.executable,
        "-m",
        "launcher",
        "-c",
        str(run.file),
        "logs",
        "-f",
        "--raw",
        "--grep",
        "^OUT 3|^out 3",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "out 3\n"
        os.kill(run.process("levels.1")["pid"], signal.SIGKILL)
        run.request("restart", "mixed", {"wait": True})
        assert follower.stdout.readline() == "out 3\n"
        follower.terminate()


def test_sigquit_stops_in_order(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("on-term=0", "ready", "wait"), "ready": {"log": "ready"}}})
    with cluster.foreground() as launcher:
        pid = cluster.until_state("web.1", "running")["pid"]
        launcher.send_signal(signal.SIGQUIT)
        launcher.communicate(timeout=90)
    assert launcher.returncode == 0
    assert not alive(pid)
    assert "the cluster stops: the launcher got SIGQUIT" in cluster.run_dir.events_file.read_text()


def test_up_json_has_an_object_a_line(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("say=hello", "ready", "wait"), "ready": {"log": "ready"}}})
    command = [sys.executable, "-m", "launcher", "-c", str(cluster.file), "up", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        cluster.until_state("web.1", "running")
        os.kill(launcher.pid, signal.SIGUSR2)
        os.kill(launcher.pid, signal.SIGTERM)
        out, _ = launcher.communicate(timeout=90)
    assert launcher.returncode == 0
    values = [json.loads(line) for line in out.splitlines()]
    events, lines = [v for v in values if "kind" in v], [v for v in values if "kind" not in v]
    kept = [json.loads(line) for line in cluster.run_dir.events_file.read_text().splitlines()]
    assert events == kept
    assert {"time", "name", "stream", "level", "line"} == set(lines[0])
    assert ("web.1", "out", "hello") in {(line["name"], line["stream"], line["line"]) for line in lines}


def test_a_failed_start_shows_what_this_one_wrote_with_times_and_only_the_users_frames(
    cluster: ClusterRun,
) -> None:
    cluster.module("broken", "def deep():\n    raise RuntimeError('the first')\n\ndeep()\n")
    cluster.write({"game": {"run": "broken:service", "group": 3}})
    first = cluster("up", "-d")
    assert first.code == 1
    assert "the first" in first.err
    assert not re.search(r"importlib|luabus/__main__", first.err)
    assert f"{cluster.folder / 'broken.py'}" in first.err
    cluster("down")
    cluster.module("broken", "raise RuntimeError('the second')\n")
    second = cluster("up", "-d", "--json")
    assert second.code == 1
    tail = second.json["tail"]
    assert {"time", "name", "stream", "level", "line"} == set(tail[0])
    texts = "\n".join(line["line"] for line in tail)
    assert ("the second" in texts, "the first" in texts) == (True, False)
    cluster("down")
    third = cluster("up", "-d")
    assert re.search(r"^    \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d .*the second", third.err, re.M), third.err


@pytest.mark.parametrize("delay_ms", [0, 20, 60, 120])
def test_a_signal_in_the_first_moments_ends_nothing(
    cluster: ClusterRun, delay_ms: int, tmp_path: Path
) -> None:
    """From its first own instruction on; before, the process is Python's."""
    cluster.write({})
    gate = tmp_path / "begun"
    code = (
        "import sys, time, pathlib; from luabus import log_signals; log_signals.survive();"
        f"pathlib.Path({str(gate)!r}).touch(); from launcher.__main__ import run; sys.exit(run(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "-c", str(cluster.file), "up", "--json"], stdout=subprocess.DEVNULL
    ) as up:
        until(gate.exists, "its begin")
        for _ in range(delay_ms // 10):
            up.send_signal(signal.SIGUSR2)
            with pytest.raises(subprocess.TimeoutExpired):
                up.wait(0.01)
        up.send_signal(signal.SIGUSR1)
        until(lambda: cluster.status()["state"] != "not running", "it runs")
        cluster.ok("down")
        assert up.wait(90) == 0
