"""What this machine does not have: `check` and `up` say so before anything starts."""

from __future__ import annotations

import pytest

from tests.launcher.harness import ClusterRun

WEB = {"command": ["x"]}


@pytest.mark.parametrize("verb", [["check"], ["up", "-d"], ["up"]])
def test_users_and_folders_must_be_there(cluster: ClusterRun, verb: list[str]) -> None:
    (cluster.folder / "file").write_text("")
    cluster.write(
        {"a": {**WEB, "user": "nosuchuser"}, "b": {**WEB, "cwd": "none"}, "c": {**WEB, "cwd": "file"}},
        cluster='run_dir = "file"',
    )
    done = cluster(*verb)
    assert done.code == 2
    assert "services.a.user: found \"nosuchuser\": there is no user 'nosuchuser' on this machine" in done.err
    assert 'services.b.cwd: found "none", which does not exist; allowed: a folder that is there' in done.err
    assert 'services.c.cwd: found "file", which is no folder' in done.err
    assert 'cluster.run_dir: found "file", which is a file; allowed: a folder' in done.err


def test_other_verbs_do_not_ask(cluster: ClusterRun) -> None:
    cluster.write({"b": {**WEB, "cwd": "none"}})
    assert cluster("routes").code == 3


def test_the_dashboards_certificate_must_be_there(cluster: ClusterRun) -> None:
    (cluster.folder / "key.pem").write_text("")
    text = '[dashboard]\ntls_cert = "tls/cert.pem"\ntls_key = "key.pem"\n'
    (cluster.folder / "cluster.toml").write_text(text)
    done = cluster("check")
    assert done.code == 2
    file = cluster.folder / "tls" / "cert.pem"
    assert f'2: dashboard.tls_cert: found "tls/cert.pem", which does not exist ({file})' in done.err
    assert "tls_key" not in done.err
