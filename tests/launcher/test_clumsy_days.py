"""Clumsy days: a cluster's folder is copied, its files are removed or damaged, logs are moved, while it runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun, alive, child, until

WORKER = {"worker": {"command": child("say=works", "wait")}}


@pytest.fixture
def running(cluster: ClusterRun) -> ClusterRun:
    cluster.write(WORKER)
    cluster.ok("up", "-d")
    return cluster


def pids(cluster: ClusterRun) -> list[int]:
    return [row["pid"] for row in cluster.status()["processes"]]


def test_a_copy_of_the_folder_is_another_cluster(running: ClusterRun, tmp_path: Path) -> None:
    before = pids(running)
    copy = tmp_path / "copy"
    shutil.copytree(running.folder, copy)
    other = [sys.executable, "-m", "launcher", "-c", str(copy / "cluster.toml")]
    status = subprocess.run([*other, "status"], capture_output=True, text=True, check=False)
    assert (status.returncode, "no cluster runs for" in status.stderr) == (3, True), status
    down = subprocess.run([*other, "down"], capture_output=True, text=True, check=False)
    assert down.returncode == 3, down
    text = (copy / "cluster.toml").read_text()
    (copy / "cluster.toml").write_text(
        text.replace(f"= {running.router_port}", f"= {running.router_port + 1}")
    )
    up = subprocess.run([*other, "up", "-d"], capture_output=True, text=True, check=False)
    try:
        assert up.returncode == 0, up
        assert "left behind" not in up.stdout
        assert pids(running) == before
    finally:
        subprocess.run([*other, "down"], capture_output=True, check=False)
    assert pids(running) == before
    assert running.status()["state"] == "healthy"


def test_without_its_lock_it_is_still_the_only_one(running: ClusterRun) -> None:
    before = pids(running)
    running.run_dir.lock_file.unlink()
    second = running("up", "-d")
    assert second.code == 1
    assert f"pid {running.launcher_pid}" in second.err
    assert pids(running) == before
    until(running.run_dir.lock_file.exists, "the lock's file")


@pytest.mark.parametrize("damage", ["truncated", "removed", "half", "another's", "folder"])
def test_a_cluster_whose_files_were_damaged_is_found_again(running: ClusterRun, damage: str) -> None:
    before = pids(running)
    control = running.run_dir.control_file
    if damage == "truncated":
        os.truncate(control, 0)
    elif damage == "removed":
        control.unlink()
    elif damage == "half":
        os.truncate(control, 20)
    elif damage == "another's":
        control.write_text(json.dumps({"pid": os.getpid(), "guard": None, "host": "127.0.0.1", "port": 9}))
    else:
        shutil.rmtree(running.run_dir.path)
        until(running.run_dir.secret_file.exists, "the folder")
    assert pids(running) == before
    events = [event["message"]["code"] for event in running.request("events")]
    assert "run.files-written-anew" in events
    running.ok("down")
    assert not any(map(alive, before))


def test_one_that_is_frozen_is_named_by_its_pid(running: ClusterRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.runtime.control_client.REWRITTEN_S", 0.2)
    launcher = running.launcher_pid
    os.kill(launcher, signal.SIGSTOP)
    try:
        running.run_dir.control_file.unlink()
        for verb in ("status", "down"):
            done = running(verb)
            assert done.code == 1, done
            assert f"the launcher (pid {launcher}) runs for" in done.err
    finally:
        os.kill(launcher, signal.SIGCONT)
        until(running.run_dir.control_file.exists, "control.json, written anew")


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_log_that_was_taken_away_goes_on(running: ClusterRun, how: str) -> None:
    log = running.run_dir.log_dir / "worker.1.log"
    until(log.exists, "the log")
    log.unlink() if how == "removed" else log.rename(log.with_name("kept"))
    until(log.exists, "the log again")
    assert running("logs", "worker.1").code == 0
    running.ok("restart", "worker")
    until(lambda: "works" in running.ok("logs", "worker.1").out, "its words in the new file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_folder_that_somebody_else_laid_out_is_refused(cluster: ClusterRun, tmp_path: Path) -> None:
    cluster.write(WORKER)
    precious = tmp_path / "precious"
    precious.write_text("root's")
    run_dir = cluster.run_dir.path
    (run_dir / "logs").mkdir(parents=True)
    for name in ("secret", "dashboard.token"):
        (run_dir / name).write_text("n" * 32)
        (run_dir / name).chmod(0o600)
    for name in (".control.json.new", "logs/worker.1.log", "logs/launcher.stderr"):
        (run_dir / name).symlink_to(precious)
    for path in (run_dir, *run_dir.rglob("*")):
        os.lchown(path, 65534, 65534)
    for verb in (("up", "-d"), ("up",), ("token",)):
        done = cluster(*verb)
        assert done.code == 1, done
        assert "belongs to another user (uid 65534, this is 0)" in done.err
    # The folder is given to root, what lies in it is not.
    os.chown(run_dir, 0, 0)
    assert "belongs to another user" in cluster("up", "-d").err
    assert precious.read_text() == "root's"
