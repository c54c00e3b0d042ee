"""A cluster in a folder of its own, on free ports, driven through the command line as a user would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.harness import ClusterRun


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterRun]:
    """Write a cluster with `cluster.write(...)`; it is stopped, and what remains of it killed, after the test."""
    run = ClusterRun(tmp_path / "cluster")
    yield run
    run.end()
