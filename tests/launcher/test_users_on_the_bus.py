"""A service on the bus that runs as another user: its key, its lease, its limits. As root; else that it is refused."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import luabus
from launcher.processes.users import denied, identity
from tests.launcher.harness import ROOT, ClusterRun, until

SERVICE = """
import os, luabus
service = luabus.Service()
@service.rpc
def who():
    return [os.getuid(), os.getgid(), sorted(os.getgroups()), os.environ["HOME"], os.environ["USER"]]
"""
NOBODY = pwd.getpwnam("nobody")
BY_NAME = {"group": 3, "run": "who:service", "route": "master", "instances": 2, "user": "nobody"}
BY_NUMBER = {"group": 4, "run": "who:service", "user": "54321:54321"}


@pytest.fixture
def open_to_all() -> Iterator[ClusterRun]:
    """A cluster in a folder that everybody gets to."""
    folder = Path(tempfile.mkdtemp(prefix="luabus-users-"))
    folder.chmod(0o755)
    run = ClusterRun(folder / "cluster")
    run.module("who", SERVICE)
    yield run
    run.end()
    shutil.rmtree(folder)


def interpreter() -> str | None:
    """A Python of this version that others may run, too."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if os.geteuid() == 0 and os.path.exists(candidate) and _may(os.X_OK, candidate):
            return candidate
    return None


def _may(mode: int, path: str) -> bool:
    nobody = identity("nobody")
    return nobody is not None and not denied(nobody, [(path, mode)])


def verb(cluster: ClusterRun, python: str, *words: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    return subprocess.run(
        [python, "-P", "-m", "launcher", "-c", str(cluster.file), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_it_joins_and_becomes_master(open_to_all: ClusterRun) -> None:
    cluster = open_to_all
    cluster.write({"boss": BY_NAME, "number": BY_NUMBER})
    python = _able_interpreter()
    if python is None:
        refused = cluster("check")
        assert refused.code == 2
        assert 'services.boss.user: found "nobody": ' in refused.err
        assert "only root may run it as user" in refused.err or "it may not use" in refused.err
        return
    up = verb(cluster, python, "up", "-d")
    assert up.returncode == 0, up
    assert _ask(cluster, "master:boss") == [
        NOBODY.pw_uid,
        NOBODY.pw_gid,
        [NOBODY.pw_gid],
        NOBODY.pw_dir,
        "nobody",
    ]
    assert _ask(cluster, "random:number") == [54321, 54321, [54321], "/", "54321"]
    repair = cluster("lease", "repair", "--json").json
    assert [(row["name"], row["state"]) for row in repair["groups"]] == [("boss", "right")]
    assert cluster.ok("check" if python == sys.executable else "status").code == 0


def test_a_user_that_does_not_get_there_is_refused_with_the_place(open_to_all: ClusterRun) -> None:
    cluster = open_to_all
    cluster.write({"boss": BY_NAME})
    cluster.folder.chmod(0o700)
    done = cluster("check")
    assert done.code == 2
    assert 'services.boss.user: found "nobody": ' in done.err
    assert "only root may" in done.err or f"it may not use {cluster.folder}; allowed:" in done.err


def _able_interpreter() -> str | None:
    """One that finds what luabus needs."""
    python = interpreter()
    reach = [str(Path(luabus.__file__)), *(path for path in sys.path if path.endswith("site-packages"))]
    able = python is not None and all(_may(os.R_OK, path) for path in reach)
    return python if able else None


def _ask(cluster: ClusterRun, route: str) -> Any:
    return json.loads(until(lambda: cluster("call", route, "who").out, f"{route} answers"))
