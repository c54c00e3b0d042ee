"""`init` writes a cluster that runs at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cli.scaffold import FILES, write_starter
from launcher.config.load import load
from launcher.errors import LauncherError
from tests.launcher.harness import ClusterRun


def test_it_runs_at_once(cluster: ClusterRun) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "init", str(cluster.folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"next: cd {cluster.folder} && luabus-cluster up" in done.stdout
    # Only the ports are not ours to take.
    text = (
        cluster.file.read_text()
        .replace("7070", str(cluster.router_port))
        .replace("8070", str(cluster.dashboard_port))
    )
    cluster.file.write_text(text)
    cluster.ok("up", "-d")
    assert cluster.status()["state"] == "healthy"
    assert "Hello world, from 1." in cluster.ok("call", "random:greeter", "greet", '"world"').out


def test_what_it_writes_says_the_defaults(tmp_path: Path) -> None:
    write_starter(tmp_path / "new" / "folder")
    config = load(tmp_path / "new" / "folder" / "cluster.toml")
    restart = config.services["greeter"].restart
    assert restart == type(restart)()


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(LauncherError, match=f"has {name} already; nothing was written"):
        write_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LauncherError, match="cannot be written"):
        write_starter(tmp_path / "file" / "folder")
