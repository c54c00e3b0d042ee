"""A cluster in a folder of its own, on free ports, driven through the command line as a user would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The launcher runs in asyncio's own loop: uvloop keeps SIGCHLD to itself."""
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterRun]:
    """Write a cluster with `cluster.write(...)`; it is stopped, and what remains of it killed, after the test."""
    run = ClusterRun(tmp_path / "cluster")
    yield run
    run.end()
