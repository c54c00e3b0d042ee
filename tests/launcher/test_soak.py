"""Two hundred processes start, roll and stop, and nothing of them is left: no process, socket or file. `make soak` runs it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.launcher.harness import ClusterRun, alive, child

COUNT = 200
WAIT = {"by": "soak", "wait": True, "yes": True}
SERVICE = "import luabus\n\nservice = luabus.Service()\n"


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_processes(cluster: ClusterRun) -> None:
    quick = {"stop_timeout": 5.0, "backoff": 0.05}
    cluster.module("tiny", SERVICE)
    cluster.write(
        {
            "tiny": {
                "run": "tiny:service",
                "group": 1,
                "instances": COUNT // 2,
                "start_timeout": 300.0,
                "restart": quick,
            },
            "web": {
                "command": child("child", "stubborn-child", "ready", "wait"),
                "ready": {"log": "ready"},
                "instances": COUNT // 2,
                "restart": {**quick, "stop_timeout": 0.3},
            },
        },
        routers=2,
    )
    cluster.ok("up", "-d")
    launcher = cluster.launcher_pid
    rows = cluster.status()["processes"]
    assert len(rows) == COUNT + 2
    open_before = descriptors(launcher)
    before = {row["name"]: row["pid"] for row in rows}

    done = cluster.request("restart", "web", WAIT, timeout=300.0)
    assert done["ok"], done
    done = cluster.request("restart", "tiny", WAIT, timeout=600.0)
    assert done["ok"], done
    after = {row["name"]: row["pid"] for row in cluster.status()["processes"]}
    assert not [name for name, pid in before.items() if not name.startswith("router") and after[name] == pid]
    assert descriptors(launcher) <= open_before + 5
    assert cluster.status()["state"] == "healthy"

    cpu = sum(psutil.Process(launcher).cpu_times()[:2])
    began = time.monotonic()
    time.sleep(10)  # what is measured is doing nothing
    idle = (sum(psutil.Process(launcher).cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    assert idle < 0.01, f"the idle launcher uses {idle:.1%} of a core"

    everybody = [process.pid for process in psutil.Process(launcher).children(recursive=True)]
    assert len(everybody) >= COUNT + 2 + COUNT  # the web instances have two children each
    cluster.ok("down")
    assert not any(map(alive, [launcher, *everybody]))
    listening = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert not listening & {cluster.router_port, cluster.router_port + 1}
    left = {str(path.relative_to(cluster.run_dir.path)) for path in cluster.run_dir.path.iterdir()}
    assert left <= {
        "secret",
        "dashboard.token",
        "lock",
        "logs",
        "events.jsonl",
        "events.jsonl.1",
        "lease.db",
        "lease.db-journal",
    }
    assert all(path.suffix != ".new" for path in Path(cluster.run_dir.path).rglob("*"))
