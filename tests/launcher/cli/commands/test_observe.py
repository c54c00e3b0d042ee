"""`check` and `token`; status, logs and top have tests of their own."""

from __future__ import annotations

import pytest

from tests.launcher.harness import ClusterRun


def test_check_says_what_would_run(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": ["sh"], "instances": 2}})
    assert cluster.ok("check").out == f"{cluster.file} is right: 3 processes: router.1, web.1, web.2\n"
    assert cluster.ok("check", "--json").json == {
        "ok": True, "file": str(cluster.file), "problems": [], "processes": ["router.1", "web.1", "web.2"],
    }  # fmt: skip
    assert not cluster.run_dir.path.exists()


def test_slots_of_older_files_are_accepted_with_one_line(cluster: ClusterRun) -> None:
    web = {"command": ["sh"], "group": 2, "instances": 2, "slots": 3}
    cluster.write({"web": web, "box": {**web, "group": 3}})
    for done in (cluster.ok("check"), cluster.ok("check", "--json")):
        (line,) = done.err.splitlines()
        assert line.startswith(f"{cluster.file}: web.slots, box.slots can go")


def test_check_lists_every_fault(cluster: ClusterRun) -> None:
    cluster.write({"web": {"command": [], "instnces": 2}})
    done = cluster("check", "--json")
    assert done.code == 2
    assert [problem["key"] for problem in done.json["problems"]] == [
        "services.web.command",
        "services.web.instnces",
    ]
    assert all(problem["line"] for problem in done.json["problems"])
    assert "did you mean" in cluster("check").err


@pytest.mark.parametrize("term", ["xterm", "dumb", None])
def test_top_without_a_terminal(
    cluster: ClusterRun, monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    cluster.write({})
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    done = cluster("top")
    assert (done.code, done.out) == (2, "")
    assert "top needs a terminal" in done.err
    assert "`luabus-cluster status --json`" in done.err


def test_token_is_the_login_url(cluster: ClusterRun) -> None:
    cluster.write({}, dashboard=True)
    url = cluster.ok("token").out.strip()
    token = cluster.run_dir.dashboard_token()
    assert url == f"http://127.0.0.1:{cluster.dashboard_port}/login?token={token}"
    assert cluster.ok("token", "--json").json == {"ok": True, "url": url, "token": token}
    cluster.write({}, dashboard=False)
    done = cluster("token")
    assert (done.code, "the dashboard is not enabled" in done.err) == (1, True)
