"""The command line's end of the control channel: where it looks, and what it says when nobody is there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from launcher.errors import ConfigError, LauncherError, NotRunning
from launcher.runtime.control_client import Control, find_run_dir
from launcher.runtime.run_dir import RunDir
from luabus.cluster.run_record import folder_mark
from tests.launcher.harness import ClusterRun, until


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ".luabus"),
        ('[cluster]\nrun_dir = "x/y"', "x/y"),
        ("cluster = 5", ".luabus"),
        ("[cluster]\nnonsense = 1", ".luabus"),
    ],
)
def test_run_dir_is_found_whatever_else_is_wrong(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    assert find_run_dir(file).path == tmp_path / path


async def test_a_connection_that_is_given_up_is_closed(steady: ClusterRun) -> None:
    """What is left open the check after each test finds."""
    connecting = asyncio.ensure_future(Control(steady.run_dir).__aenter__())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no such file; `luabus-cluster init .*` writes one"):
        find_run_dir(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[[[")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        find_run_dir(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        find_run_dir(tmp_path / "bad.toml")


@pytest.mark.parametrize(("line", "path"), [("", ".luabus"), ("  run_dir = 'x/y' # here", "x/y")])
def test_a_cluster_that_runs_is_found_from_a_file_that_broke(tmp_path: Path, line: str, path: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(f"[cluster]\n{line}\nname =\n")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        find_run_dir(file)
    run_dir = RunDir(tmp_path / path)
    run_dir.prepare()
    run_dir.control_file.write_text('{"pid": 1, "host": "127.0.0.1", "port": 9}')
    assert find_run_dir(file).path == tmp_path / path


async def test_nobody_listens(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.prepare()
    for text in (None, '{"pid": 1, "host": "127.0.0.1", "port": 9}'):
        if text is not None:
            run_dir.control_file.write_text(text)
        with pytest.raises(NotRunning, match="`luabus-cluster up` starts it"):
            async with Control(run_dir):
                pass


async def test_another_secret_is_told(steady: ClusterRun, tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.prepare()
    address = json.loads(steady.run_dir.control_file.read_text())
    run_dir.control_file.write_text(json.dumps({**address, "folder": folder_mark(tmp_path)}))
    with pytest.raises(LauncherError, match="has another secret than"):
        async with Control(run_dir):
            pass


async def test_it_knows_the_launchers_pid(steady: ClusterRun) -> None:
    async with Control(steady.run_dir) as control:
        status = await control.request("status")
        assert control.pid == status["pid"]


def test_a_launcher_that_is_stopped_is_not_taken_for_none(
    cluster: ClusterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.runtime.control_client.CONNECT_TIMEOUT_S", 0.3)
    cluster.write({})
    cluster.ok("up", "-d")
    launcher = cluster.launcher_pid
    os.kill(launcher, signal.SIGSTOP)
    try:
        plain, as_json = cluster("status"), cluster("status", "--json")
    finally:
        os.kill(launcher, signal.SIGCONT)
    assert plain.code == as_json.code == 1
    assert f"the launcher (pid {launcher}) does not answer within 0.3 s" in plain.err
    assert f"`kill -CONT {launcher}`" in plain.err
    assert as_json.json["state"] == "not answering"
    until(lambda: cluster.status()["state"] == "healthy", "it goes on")
