"""`env` and `run` as typed; `run` in a terminal: ../test_foreground_run.py."""

from __future__ import annotations

from tests.launcher.harness import ClusterRun, child


def test_the_environment_of_a_stopped_cluster(cluster: ClusterRun) -> None:
    cluster.module("mail", "")
    cluster.write(
        {"mail": {"run": "mail:service", "group": 2, "env": {"A": "1 2"}}, "web": {"command": child("wait")}}
    )
    lines = cluster.ok("env", "mail").out.splitlines()
    assert "A='1 2'" in lines
    assert "LUABUS_SERVICE='mail'" in lines
    assert f"LUABUS_KEY_FILE='{cluster.run_dir.path / 'keys' / 'mail.key'}'" in lines
    assert "export LUABUS_INSTANCE='1'" in cluster.ok("env", "mail.1", "--export").out.splitlines()
    answer = cluster.ok("env", "web", "--json").json
    assert (answer["ok"], answer["name"], answer["cwd"]) == (True, "web.1", str(cluster.folder))
    done = cluster("env", "mial")
    assert (done.code, 'did you mean "mail"?' in done.err) == (2, True)


def test_run_needs_a_cluster(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": child("wait")}})
    done = cluster("run", "web")
    assert (done.code, "`luabus-cluster up` starts it" in done.err) == (3, True)
