"""Whether a port is free, and who has it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from launcher.config.schema import ClusterConfig
from launcher.errors import PortInUse
from launcher.plan.plan import make_plan
from launcher.plan.port_checks import check_ports, holder, why_not
from tests.support.ports import free_ports


def test_a_free_port() -> None:
    assert why_not("127.0.0.1", free_ports()) == ""


def test_a_taken_port_names_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert why_not("127.0.0.1", port).startswith(f"the port is taken by pid {os.getpid()} (")
        assert f"pid {os.getpid()}" in holder(port)


def test_a_name_is_asked_for_at_each_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **kwargs: Any) -> Any:
        return [row for one in ("127.0.0.1", "192.0.2.1", "::1") for row in real(one, port, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert why_not("many.test", port).startswith("the port is taken by pid")
    assert why_not("many.test", port) == ""


def test_a_port_that_was_just_closed_can_be_taken_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            pass
    assert why_not("127.0.0.1", port) == ""


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.1", "no such address"), ("no.such.host.invalid", "is no address of this machine")],
)
def test_addresses_that_are_not_ours(host: str, text: str) -> None:
    assert text in why_not(host, 1234)


def test_all_taken_ports_are_told_at_once(tmp_path: Path) -> None:
    port = free_ports(3)
    config = {"routers": {"port": port}, "dashboard": {"port": port + 2}}
    plan = make_plan(ClusterConfig.model_validate(config), tmp_path / "cluster.toml")
    check_ports(plan)
    with (
        socket.create_server(("127.0.0.1", port)),
        socket.create_server(("127.0.0.1", port + 2)),
        pytest.raises(PortInUse) as caught,
    ):
        check_ports(plan)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "router.1 cannot listen at 127.0.0.1",
        "dashboard cannot listen at 127.0.0.1",
    ]
