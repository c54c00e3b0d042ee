from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy
from launcher.processes.backend import SpawnError
from launcher.runtime.run_dir import RunDir
from launcher.runtime.service_keys import ServiceKeys
from launcher.supervision.spawn_requests import SpawnRequests


def keys(folder: Path) -> ServiceKeys:
    run_dir = RunDir(folder / ".luabus")
    run_dir.prepare()
    return ServiceKeys(run_dir)


def spec(kind: Kind, **env: str) -> ProcessSpec:
    return ProcessSpec("x.1", "x", kind, ("x", "y"), env, "/", LifecycleSettings(), ReadyBy.SPAWN, nice=3)


def test_a_process_gets_the_launchers_environment_but_not_its_place_in_another_cluster(
    tmp_path: Path,
) -> None:
    environ = {
        "LANG": "C",
        "EDITOR": "vi",
        "LUABUS_SERVICE": "outer",
        "LUABUS_SUPERVISED": "outer/outer.1",
    } | {
        "LUABUS_SECRET_FILE": "/outer/secret",
        "LUABUS_KEY_FILE": "/outer/keys/outer.key",
    }
    request = SpawnRequests("run", tmp_path, keys(tmp_path), environ).of(spec(Kind.COMMAND, EDITOR="ed"))
    assert request.env == {
        "LANG": "C", "EDITOR": "ed", "LUABUS_KEY_FILE": str(tmp_path / ".luabus/keys/x.key"),
    }  # fmt: skip
    assert (request.argv, request.cwd, request.nice, request.owner) == (("x", "y"), "/", 3, "run/x.1")
    assert not request.helper


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_is_the_users_finds_modules_in_the_users_folder(tmp_path: Path, kind: Kind) -> None:
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), "/libraries"])}
    request = SpawnRequests("run", tmp_path, keys(tmp_path), environ).of(spec(kind))
    own = kind in (Kind.ROUTER, Kind.DASHBOARD)
    assert request.env["PYTHONPATH"] == ("/libraries" if own else environ["PYTHONPATH"])


def test_nobody_is_given_a_pythonpath_unasked(tmp_path: Path) -> None:
    assert set(SpawnRequests("run", tmp_path, keys(tmp_path), {}).of(spec(Kind.COMMAND)).env) == {
        "LUABUS_KEY_FILE"
    }


def test_a_router_derives_the_keys_itself(tmp_path: Path) -> None:
    request = SpawnRequests("run", tmp_path, keys(tmp_path), {}).of(
        spec(Kind.ROUTER, LUABUS_SECRET_FILE="/s")
    )
    assert request.env == {"LUABUS_SECRET_FILE": "/s"}
    assert not (tmp_path / ".luabus/keys").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives a file away")
def test_who_runs_as_another_user_gets_the_key_opened(tmp_path: Path) -> None:
    other = replace(spec(Kind.COMMAND), user="nobody")
    request = SpawnRequests("run", tmp_path, keys(tmp_path), {}).of(other)
    path = tmp_path / ".luabus/keys/x.key"
    assert request.opened == {"LUABUS_KEY_FILE": str(path)}
    assert "LUABUS_KEY_FILE" not in request.env
    assert path.stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_without_a_secret_nothing_is_started(tmp_path: Path) -> None:
    requests = SpawnRequests("run", tmp_path, keys(tmp_path), {})
    (tmp_path / ".luabus/secret").unlink()
    with pytest.raises(SpawnError, match=r"the key of x cannot be written: .*secret cannot be read"):
        requests.of(spec(Kind.COMMAND))
