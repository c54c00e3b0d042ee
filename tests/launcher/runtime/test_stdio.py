"""Standard streams that are closed, full, or read by nobody: the work is done all the same, and it is said."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.launcher.harness import ClusterRun, Done, alive, child

LOST = "luabus-cluster: what was to be shown is lost, stdout cannot be written: "
CLOSED, FULL = ">&-", ">/dev/full"


def shell(cluster: ClusterRun, verb: str, redirection: str) -> Done:
    line = f"exec {sys.executable} -m launcher -c {cluster.file} {verb} {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("redirection", "why"), [(CLOSED, "it is closed"), (FULL, "No space left on device")]
)
def test_up_and_down_do_their_work_and_tell_that_the_answer_is_lost(
    cluster: ClusterRun, redirection: str, why: str
) -> None:
    cluster.write({"web": {"command": child("ready", "wait"), "ready": {"log": "ready"}}})
    lost = (1, "", f"{LOST}{why}\n")
    up = shell(cluster, "up -d", redirection)
    assert (up.code, up.out, up.err) == lost
    assert cluster.status()["state"] == "healthy"
    for verb in ("status", "status --json", "restart web", "logs", "check", "--version"):
        done = shell(cluster, verb, redirection)
        assert (done.code, done.out, done.err) == lost, verb
    pid = cluster.process("web.1")["pid"]
    down = shell(cluster, "down", redirection)
    assert (down.code, down.out, down.err) == lost
    assert not alive(pid)


def test_a_folder_that_the_locale_cannot_name(cluster: ClusterRun) -> None:
    cluster.write({}, cluster='run_dir = "\u00fc"')
    locale = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "launcher", "-c", str(cluster.file)]
    for verb in (["up", "-d"], ["up"]):
        done = subprocess.run(
            [*command, *verb], env={**os.environ, **locale}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot be named in this locale's encoding (ascii); set PYTHONUTF8=1" in done.stderr
        assert "Traceback" not in done.stderr
    done = subprocess.run(
        [*command, "status"], env={**os.environ, **locale}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done


def test_all_three_closed(cluster: ClusterRun) -> None:
    cluster.write({})
    assert shell(cluster, "up -d", "<&- >&- 2>&-").code == 1
    assert cluster.status()["state"] == "healthy"
    assert shell(cluster, "down", "<&- >&- 2>&-").code == 1
    assert cluster.status()["state"] == "not running"


@pytest.mark.parametrize("redirection", [CLOSED, FULL])
def test_the_foreground_runs_without_a_stdout(cluster: ClusterRun, redirection: str) -> None:
    cluster.write({"web": {"command": child("ready", "wait"), "ready": {"log": "ready"}}})
    line = f"exec {sys.executable} -m launcher -c {cluster.file} up {redirection}"
    with subprocess.Popen(["sh", "-c", line], stderr=subprocess.PIPE, text=True) as shown:
        cluster.until_state("web.1", "running")
        cluster.ok("down")
        _, said = shown.communicate(timeout=20)
    assert shown.returncode == 0
    assert said == ("" if redirection == CLOSED else f"{LOST}No space left on device\n")


def test_a_follower_that_cannot_write_ends(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("lines=5", "ready", "wait"), "ready": {"log": "ready"}}})
    cluster.ok("up", "-d")
    for redirection in (CLOSED, FULL):
        done = shell(cluster, "logs -f web", redirection)
        assert (done.code, LOST in done.err) == (1, True), done


def test_a_follower_ends_with_its_reader(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("lines=5", "ready", "wait"), "ready": {"log": "ready"}}})
    cluster.ok("up", "-d")
    command = [sys.executable, "-m", "launcher", "-c", str(cluster.file), "logs", "-f", "--raw", "web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        follower.stdout.readline()
        follower.stdout.close()
        follower.wait(10)  # nothing more is written
        assert follower.stderr is not None
        assert (follower.returncode, follower.stderr.read()) == (0, "")
