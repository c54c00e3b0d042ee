from __future__ import annotations

import os
from pathlib import Path

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy
from launcher.supervision.spawn_requests import SpawnRequests


def spec(kind: Kind, **env: str) -> ProcessSpec:
    return ProcessSpec("x.1", "x", kind, ("x", "y"), env, "/", LifecycleSettings(), ReadyBy.SPAWN, nice=3)


def test_a_process_gets_the_launchers_environment_but_not_its_place_in_another_cluster(
    tmp_path: Path,
) -> None:
    environ = {"LANG": "C", "EDITOR": "vi", "LUABUS_SERVICE": "outer", "LUABUS_SUPERVISED": "outer/outer.1"}
    request = SpawnRequests("run", tmp_path, environ).of(spec(Kind.COMMAND, EDITOR="ed"))
    assert request.env == {"LANG": "C", "EDITOR": "ed"}
    assert (request.argv, request.cwd, request.nice, request.owner) == (("x", "y"), "/", 3, "run/x.1")
    assert not request.helper


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_is_the_users_finds_modules_in_the_users_folder(tmp_path: Path, kind: Kind) -> None:
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), "/libraries"])}
    request = SpawnRequests("run", tmp_path, environ).of(spec(kind))
    own = kind in (Kind.ROUTER, Kind.DASHBOARD)
    assert request.env["PYTHONPATH"] == ("/libraries" if own else environ["PYTHONPATH"])


def test_nobody_is_given_a_pythonpath_unasked(tmp_path: Path) -> None:
    assert SpawnRequests("run", tmp_path, {}).of(spec(Kind.COMMAND)).env == {}
