"""A launcher of which nothing in run_dir tells is found by what it started."""

from __future__ import annotations

import os
import shutil

import pytest

from launcher.runtime import lost_launcher
from tests.launcher.harness import ClusterRun, child


def test_it_is_named_while_nothing_in_the_folder_tells_of_it(
    cluster: ClusterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.write({"worker": {"command": child("wait")}})
    cluster.ok("up", "-d")
    launcher, path = cluster.launcher_pid, cluster.run_dir.path
    assert lost_launcher.find(path) == launcher
    assert lost_launcher.find(path.with_name("other")) is None
    shutil.rmtree(path)
    # At once: a verb waits, and another launcher is refused, without a new folder being made under the first.
    assert f"pid {launcher}" in cluster("up", "-d").err
    shutil.rmtree(path, ignore_errors=True)
    cluster.ok("status")
    monkeypatch.setattr(os, "getpid", lambda: launcher)
    assert lost_launcher.find(path) is None
