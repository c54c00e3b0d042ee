"""`check` finds what `up` would fail by."""

from __future__ import annotations

import socket

from tests.launcher.harness import ClusterRun, child


def test_programs_modules_and_taken_ports(cluster: ClusterRun) -> None:
    cluster.write(
        {"mail": {"run": "mail:servce", "group": 2}, "web": {"command": ["nosuch"]}}, dashboard=True
    )
    cluster.module("mail", "raise SystemExit(1)\nservice = 1\n")
    with socket.create_server(("127.0.0.1", cluster.router_port)):
        done = cluster("check", "--json")
    assert done.code == 2
    assert (done.json["ok"], [fault["key"] for fault in done.json["problems"]]) == (
        False, ["routers.port", "services.mail.run", "services.web.command"],
    )  # fmt: skip
    assert all(fault["line"] for fault in done.json["problems"])
    assert f"router.1 cannot listen at 127.0.0.1:{cluster.router_port}" in done.json["problems"][0]["text"]


def test_ports_of_the_cluster_itself_are_not_taken(cluster: ClusterRun) -> None:
    cluster.write({"worker": {"command": child("wait")}})
    cluster.ok("up", "-d")
    assert cluster.ok("check", "--json").json["problems"] == []
    cluster.ok("down")
    assert cluster.ok("check").out.endswith("is right: 2 processes: router.1, worker.1\n")
