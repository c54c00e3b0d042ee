"""Starts of which a part fails, jobs, and restarts that meet trouble: the others stay up, and all is told."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.harness import ClusterRun, Done, child, until

WAIT = {"by": "test", "wait": True}
SOON = {"backoff": 0.02, "backoff_max": 0.1, "crash_limit": 3, "min_uptime": 0.2}
PATIENT = {**SOON, "crash_limit": 1000, "slow_crash_limit": 1000, "policy": "always"}
STEADY: dict[str, Any] = {"command": child("ready", "wait"), "ready": {"log": "ready"}, "restart": SOON}
ONCE: dict[str, Any] = {"cwd": ".", "restart": {**SOON, "policy": "never"}}
MODULE = "import luabus\n\nservice = luabus.Service()\n"

SERVICES: dict[str, dict[str, Any]] = {
    "steady": {**STEADY, "instances": 2},
    # jobs, each with one who waits for it
    "plain": {**ONCE, "command": child("pid=plain", "sleep=0.4", "exit=0"), "instances": 2},
    "after-plain": {**STEADY, "depends_on": {"plain": "completed"}},
    "said": {**ONCE, "command": child("pid=said", "ready", "exit=0"), "ready": {"log": "ready"}},
    "after-said": {**STEADY, "depends_on": {"said": "completed", "steady": "ready"}},
    "started": {**ONCE, "command": child("pid=started", "exit=0"), "startup": {"exec": ["false"]}},
    "after-started": {**STEADY, "depends_on": ["started"]},
    "other-code": {**ONCE, "command": child("exit=3"), "restart": {**SOON, "success_exit_codes": [0, 3]}},
    # what fails, and who waits for it
    "broken": {**ONCE, "command": child("say=my last words", "once=mended 4", "exit=0")},
    "after-broken": {**STEADY, "depends_on": {"broken": "completed"}},
    "after-that": {**STEADY, "depends_on": ["after-broken"]},
    "looping": {"command": child("exit=1"), "restart": SOON},
    "ghost": {"command": ["./no-such-program"]},
    "unloadable": {"run": "unloadable:service", "group": 8},
    # what meets trouble later
    "moved": {"command": ["./moved.sh"], "cwd": "folder", "restart": PATIENT},
    "module": {"run": "module:service", "group": 9, "restart": PATIENT},
    "daemon": {**STEADY, "command": child("ready", "on-term=0", "wait")},
    "rolling": {"command": ["sh", "rolling.sh"], "cwd": ".", "instances": 3, "restart": {"min_uptime": 0.5}},
}
FAILED = {"broken.1", "looping.1", "ghost.1", "unloadable.1"}
WAITING = {"after-broken.1", "after-that.1"}


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ClusterRun, Done]]:
    """The cluster, and what `up -d` said."""
    run = ClusterRun(tmp_path_factory.mktemp("degraded") / "cluster")
    program(run.folder / "folder/moved.sh", "exec sleep 1000")
    program(run.folder / "rolling.sh", "exec sleep 1000")
    run.module("module", MODULE)
    run.write(SERVICES)
    yield run, run("up", "-d")
    run.end()


@pytest.fixture
def cluster_run(up: tuple[ClusterRun, Done]) -> ClusterRun:
    return up[0]


def states(run: ClusterRun) -> dict[str, str]:
    return {row["name"]: row["state"] for row in run.status()["processes"]}


def test_up_says_what_failed_and_the_others_stay_up(up: tuple[ClusterRun, Done]) -> None:
    run, done = up
    assert done.code == 1
    for told in (
        "broken.1 has failed: exit code 4",
        "looping.1 has failed: exit code 1; given up: 3 crashes",
        "ghost.1 has failed: there is no program './no-such-program'",
        "unloadable.1 has failed: could not be loaded",
        "my last words",
    ):
        assert told in done.err, told
    seen = states(run)
    assert {name for name, state in seen.items() if state == "failed"} == FAILED
    assert {name for name, state in seen.items() if state == "starting"} == WAITING
    assert {seen[name] for name in ("router.1", "steady.2", "after-plain.1", "after-said.1")} == {"running"}


def test_jobs_are_done_once_and_who_waits_for_them_runs(cluster_run: ClusterRun) -> None:
    seen = states(cluster_run)
    for job in ("plain.1", "plain.2", "said.1", "started.1", "other-code.1"):
        row = cluster_run.process(job)
        assert (row["state"], row["restarts"], row["completed"]) == ("exited", 0, True), row
    assert [len(cluster_run.pids(file)) for file in ("plain", "said", "started")] == [2, 1, 1]
    assert {seen[f"after-{job}.1"] for job in ("plain", "said", "started")} == {"running"}


def test_status_tells_who_failed_and_who_waits_for_whom_and_no_job_that_is_done(
    cluster_run: ClusterRun,
) -> None:
    done = cluster_run("status")
    assert done.code == 1
    problems = {problem["about"]: problem for problem in cluster_run.status()["health"]["problems"]}
    assert set(problems) == FAILED | WAITING | {"unloadable"}
    waits = problems["after-broken.1"]
    assert waits["code"] == "health.cannot-start"
    assert "after-broken.1 cannot start: waits for broken, which failed" in waits["text"]
    assert "after-broken.1  -    waiting" in done.out.replace("after-broken.1   -", "after-broken.1  -")


def test_a_job_that_was_mended_lets_those_start_that_wait_for_it(cluster_run: ClusterRun) -> None:
    refused = cluster_run("kill", "after-broken")
    assert (refused.code, "it waits for broken, which failed" in refused.err) == (1, True)
    assert cluster_run.ok("start", "broken").out == "broken.1 is done\n"
    for name in WAITING:
        cluster_run.until_state(name, "running")


def test_a_daemon_that_ends_with_code_0_is_missed(cluster_run: ClusterRun) -> None:
    cluster_run.ok("kill", "daemon", "--signal", "SIGTERM")
    row = cluster_run.until_state("daemon.1", "exited")
    assert (row["daemon"], row["exit"]["code"]) == (True, 0)
    (problem,) = [one for one in cluster_run.status()["health"]["problems"] if one["about"] == "daemon.1"]
    assert problem["code"] == "health.has-ended-and-stays-down"


def test_a_program_and_its_folder_that_are_away_for_a_while_are_waited_for(cluster_run: ClusterRun) -> None:
    folder = cluster_run.folder / "folder"
    for file in (folder / "moved.sh", folder):
        away = file.rename(file.with_name("away"))
        cluster_run.request("kill", "moved.1", "SIGKILL", WAIT)
        until(lambda: cluster_run.process("moved.1")["restarts"] > 2, "new starts")
        assert cluster_run.process("moved.1")["state"] in ("backoff", "starting")
        away.rename(file)
        cluster_run.until_state("moved.1", "running")


def test_a_program_that_is_being_written_is_waited_for(cluster_run: ClusterRun) -> None:
    file = cluster_run.folder / "folder/moved.sh"
    shutil.copy(shutil.which("sleep") or "", busy := file.with_name("busy"))
    with busy.open("r+b"):
        busy.replace(file)
        cluster_run.request("kill", "moved.1", "SIGKILL", WAIT)
        until(lambda: "busy" in cluster_run.process("moved.1")["exit"]["text"], "text file busy")
    program(file, "exec sleep 1000")
    cluster_run.until_state("moved.1", "running")


def test_a_module_that_is_half_written_is_waited_for(cluster_run: ClusterRun) -> None:
    cluster_run.module("module", "import luabus\n\nservice = luabus.Ser")
    cluster_run.request("kill", "module.1", "SIGKILL", WAIT)
    until(lambda: (cluster_run.process("module.1")["exit"] or {})["code"] == 3, "a failed import")
    assert cluster_run.process("module.1")["state"] != "failed"
    cluster_run.module("module", MODULE)
    cluster_run.until_state("module.1", "running")


def test_a_version_that_dies_soon_stops_the_roll(cluster_run: ClusterRun) -> None:
    before = {row["name"]: row["pid"] for row in cluster_run.status()["processes"]}
    program(cluster_run.folder / "rolling.sh", "sleep 0.2; exit 1")
    done = cluster_run("restart", "rolling")
    assert done.code == 1
    assert "rolling.1 did not come up: exit code 1" in done.out
    assert "not touched: rolling.2, rolling.3" in done.out
    after = {row["name"]: row["pid"] for row in cluster_run.status()["processes"]}
    assert [before[name] == after[name] for name in ("rolling.2", "rolling.3")] == [True, True]
    program(cluster_run.folder / "rolling.sh", "exec sleep 1000")
    assert cluster_run("restart", "rolling").code == 0


def test_a_job_is_run_again_by_restart_which_returns_when_it_is_done(cluster_run: ClusterRun) -> None:
    done = cluster_run.ok("restart", "plain")
    assert done.out == "plain.1 is done\nplain.2 is done\n"
    assert cluster_run.ok("scale", "plain=3").code == 0
    assert cluster_run.process("plain.3")["completed"]
    assert len(cluster_run.pids("plain")) == 5


def test_a_reload_with_a_bad_new_service_leaves_the_others(cluster_run: ClusterRun) -> None:
    before = cluster_run.process("steady.1")["pid"]
    cluster_run.write({**SERVICES, "newcomer": {"command": ["./nothing"]}})
    done = cluster_run("reload")
    assert (done.code, "newcomer.1 did not come up: there is no program" in done.out) == (1, True)
    assert cluster_run.process("steady.1")["pid"] == before


def test_the_foreground_goes_on_and_ends_with_1(cluster: ClusterRun) -> None:
    heart = {**STEADY, "essential": True, "restart": {"policy": "never"}}
    cluster.write({"steady": STEADY, "broken": SERVICES["broken"], "heart": heart})
    launcher = cluster.foreground()
    assert launcher.stdout is not None
    while "the other processes stay up" not in (line := launcher.stdout.readline()):
        assert line
    assert states(cluster) == {
        "router.1": "running", "steady.1": "running", "heart.1": "running", "broken.1": "failed",
    }  # fmt: skip
    os.kill(launcher.pid, signal.SIGTERM)
    out, _ = launcher.communicate(timeout=20)
    assert (launcher.returncode, "everything has stopped" in out) == (1, True)


def test_a_kill_of_what_is_essential_is_done_and_says_what_follows(cluster: ClusterRun) -> None:
    heart = {**STEADY, "essential": True, "restart": {"policy": "never"}}
    cluster.write({"steady": STEADY, "heart": heart})
    cluster.ok("up", "-d")
    done = cluster.process_of("kill", "heart")
    assert done.code == 0
    assert "sent SIGKILL to heart.1; the cluster stops, for heart.1 is essential to it" in done.out
    until(lambda: cluster.run_dir.read_control() is None, "the end")


def test_an_essential_one_that_fails_at_the_start_ends_it(cluster: ClusterRun) -> None:
    cluster.write({"steady": STEADY, "heart": {**SERVICES["broken"], "essential": True}})
    done = cluster("up", "-d")
    assert (done.code, cluster("status").code) == (1, 3)
    assert "heart.1 is essential and has failed: exit code 4" in done.err
    assert "my last words" in done.err
