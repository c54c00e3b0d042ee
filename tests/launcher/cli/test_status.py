"""`status` as text and JSON, and its exit codes; it may take 150 ms as a whole process, so what it imports is counted."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.launcher.harness import ClusterRun

HEAVY = {
    "click",
    "pydantic",
    "rich",
    "textual",
    "psutil",
    "aiohttp",
    "luabus.client.bus",
    "luabus.router.server",
    "luabus.service.service",
}


def test_text(steady: ClusterRun) -> None:
    out = steady.ok("status").out
    assert out.startswith("test is healthy: 5 of 5 processes run, up ")
    assert "routers: 2 of 2 connected" in out
    assert out.splitlines()[3].split() == [
        "NAME",
        "ID",
        "STATE",
        "READY",
        "PID",
        "UPTIME",
        "CPU%",
        "RSS",
        "RESTARTS",
        "LAST",
        "EXIT",
    ]
    greeter = next(line.split() for line in out.splitlines() if line.startswith("greeter.1"))
    assert greeter[1:4] == ["7.1", "running", "yes"]


def test_json(steady: ClusterRun) -> None:
    status = steady.ok("status", "--json").json
    assert (status["state"], status["problems"], status["alarms"]) == ("healthy", [], [])


def test_as_a_process_with_and_without_options(steady: ClusterRun) -> None:
    assert steady.process_of("status").code == 0
    assert json.loads(steady.process_of("status", "--json").out)["cluster"] == "test"


def test_it_imports_only_what_it_needs(steady: ClusterRun) -> None:
    script = (
        "import sys, json; from launcher.__main__ import run; "
        f"code = run(['-c', {str(steady.file)!r}, 'status', '--json']); print(json.dumps([code, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert HEAVY & set(modules) == set()


def test_not_running(cluster: ClusterRun) -> None:
    cluster.write({})
    text, machine = cluster("status"), cluster("status", "--json")
    assert (text.code, machine.code) == (3, 3)
    assert machine.json["state"] == "not running"
    assert "`luabus-cluster up` starts it" in text.err
