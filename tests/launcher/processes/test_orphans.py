"""What a dead launcher left is found by its records and ended; how clusters meet that is in test_watchdog.py."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.processes import orphans, process_tag, process_tree
from launcher.runtime.run_dir import RunDir
from tests.launcher.harness import alive, child


@pytest.mark.parametrize("word", ["on-term=0", "ignore=SIGTERM"])
def test_recorded_and_marked_processes_are_ended(tmp_path: Path, word: str) -> None:
    run = f"r{os.getpid()}"
    run_dir = RunDir(tmp_path)
    started = [
        subprocess.Popen(
            child(word, "ready", "wait"), start_new_session=True, stdout=subprocess.PIPE, env=env
        )
        for env in ({}, {process_tree.MARKER: f"{run}/x"})
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
    record = {"pid": started[0].pid, "started": process_tree.started_at(started[0].pid)}
    run_dir.processes_file.write_text(json.dumps({"run": run, "processes": [record]}))
    assert orphans.find(run_dir) == {process.pid for process in started}
    assert orphans.end(run_dir, 0.2) == 2
    assert not any(alive(process.pid) for process in started)
    for process in started:
        process.wait()
    assert orphans.end(run_dir, 0.2) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there are no tags")
def test_what_cleaned_its_environment_is_ended(tmp_path: Path) -> None:
    run = f"r{os.getpid()}"
    tag = process_tag.limit(f"{run}/x")
    assert tag is not None
    with subprocess.Popen(
        ["setsid", "env", "-i", "sleep", "1000"], preexec_fn=lambda: resource.setrlimit(*tag)
    ) as process:
        run_dir = RunDir(tmp_path)
        run_dir.processes_file.write_text(json.dumps({"run": run, "processes": []}))
        assert orphans.find(run_dir) == {process.pid}
        assert orphans.end(run_dir, 0.2) == 1


def test_nothing_recorded_nothing_ended(tmp_path: Path) -> None:
    assert orphans.find(RunDir(tmp_path)) == set()
