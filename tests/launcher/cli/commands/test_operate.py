"""What the steering verbs refuse before they ask the launcher; what they do is in ../test_verbs.py."""

from __future__ import annotations

import pytest

from tests.launcher.harness import ClusterRun, child


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


def test_numbers_and_signals_are_checked_first(cluster: ClusterRun) -> None:
    cluster.write({})
    done = cluster("scale", "mail=70000")
    assert (done.code, "found 70000 instances; allowed: 0 to 65535" in done.err) == (2, True)
    done = cluster("kill", "mail", "--signal", "SIGUSR9")
    assert (done.code, "there is no signal 'SIGUSR9'; usual are" in done.err) == (2, True)


def test_names_that_nobody_has_and_what_a_kill_did(cluster: ClusterRun) -> None:
    quick = {"command": child("ready", "wait"), "restart": {"backoff": 0.01, "backoff_max": 0.01}}
    cluster.write({"web": {**quick, "restart": {"policy": "never"}}})
    cluster.ok("up", "-d")
    for verb in (["start"], ["stop"], ["restart"], ["kill"], ["scale"], ["logs"], ["stop", "web"]):
        name = "wbe=2" if verb == ["scale"] else "wbe"
        done = cluster(*verb, name)
        assert (done.code, 'did you mean "web"' in done.err) == (2, True), done
        assert cluster(*verb, name, "--json").json["error"]["type"] == "UsageError"
    assert cluster.ok("kill", "web").out == "sent SIGKILL to web.1\nweb.1 has failed\n"
    assert cluster("down", "--json").code == 0
    done = cluster("down", "--json")
    assert (done.code, done.json["error"]["type"]) == (3, "NotRunning")


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
