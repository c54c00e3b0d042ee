"""What the steering verbs refuse before they ask the launcher; what they do is in ../test_verbs.py."""

from __future__ import annotations

import pytest

from tests.launcher.harness import ClusterRun


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "kill", "scale", "reload"])
def test_without_a_launcher(cluster: ClusterRun, verb: str) -> None:
    cluster.write({})
    words = {"scale": ["web=2"], "reload": []}.get(verb, ["web"])
    done = cluster(verb, *words)
    assert (done.code, "`luabus-cluster up` starts it" in done.err) == (3, True)


@pytest.mark.parametrize("target", ["web", "web=", "web=-1", "web=two", "=2=", "web=٣"])
def test_scale_wants_service_and_number(cluster: ClusterRun, target: str) -> None:
    cluster.write({})
    done = cluster("scale", target)
    assert (done.code, "allowed: SERVICE=N, such as mail=5" in done.err) == (2, True)


@pytest.mark.parametrize("fault", ["name =", "[services.x]\nnonsense = 1"])
def test_a_broken_file_changes_nothing_and_the_cluster_can_be_looked_at_and_stopped(
    cluster: ClusterRun, fault: str
) -> None:
    cluster.write({})
    cluster.ok("up", "-d")
    pid = cluster.process("router.1")["pid"]
    cluster.file.write_text(f"{cluster.file.read_text()}\n{fault}\n")
    done = cluster("reload")
    assert done.code == 2
    assert "nothing was changed" in done.err
    assert "cluster.toml:" in done.err
    assert cluster.ok("status", "--json").json["processes"][0]["pid"] == pid
    cluster.ok("down")
