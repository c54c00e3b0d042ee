"""A cluster in a folder of its own, on free ports, driven through the command line as a user would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun, child


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The launcher runs in asyncio's own loop: uvloop keeps SIGCHLD to itself."""
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterRun]:
    """Write a cluster with `cluster.write(...)`; it is stopped, and what remains of it killed, after the test."""
    run = ClusterRun(tmp_path / "cluster")
    yield run
    run.end()


STEADY_SERVICE = """
import luabus

service = luabus.Service()

@service.rpc
def hello(name):
    return f"hello {name}"
"""


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    """One cluster for all tests that only look at it: two routers, `web` with two instances, `greeter` on the bus."""
    run = ClusterRun(tmp_path_factory.mktemp("steady") / "cluster")
    run.module("greeter", STEADY_SERVICE)
    web = {
        "command": child("say=hello", "err=careful", "ready", "wait"),
        "ready": {"log": "ready"},
        "instances": 2,
    }
    greeter = {"run": "greeter:service", "group": 7, "env": {"PASSWORD": "hunter2"}}
    run.write({"web": web, "greeter": greeter}, routers=2)
    run.ok("up", "-d")
    yield run
    run.end()
