"""Nobody waits for who reads, and nobody falls with him."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO

import pytest

from launcher.cli.screen import Screen
from tests.launcher.harness import ClusterRun, child, until

Pipe = tuple[FileIO, int]
"""The end to read from, and the descriptor to write to."""


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    with FileIO(reading) as reader:
        yield reader, writing
    os.close(writing)


def test_all_is_written_in_order_and_what_the_encoding_lacks_is_escaped(pipe: Pipe) -> None:
    reading, writing = pipe
    screen = Screen(writing, "ascii")
    screen.write("one\n")
    screen.write("zwei \u00fc\n")
    screen.close()
    assert reading.read(100) == b"one\nzwei \\xfc\n"
    screen.write("too late\n")


def test_a_reader_that_does_not_read_is_not_waited_for_and_told_what_it_missed(pipe: Pipe) -> None:
    reading, writing = pipe
    screen = Screen(writing, limit=1 << 18)
    line = "x" * 1023 + "\n"
    for _ in range(1000):
        screen.write(line)
    seen = b""
    while len(seen) < 1 << 16:
        seen += reading.read(1 << 16)

    def told() -> bool:
        nonlocal seen
        screen.write("on\n")
        seen += reading.read(1 << 16)
        return b"lines are not shown here; they are in the logs)\non\n" in seen

    until(told, "that lines were missed")
    screen.close()


def test_a_reader_that_goes_away_does_not_matter(pipe: Pipe) -> None:
    reading, writing = pipe
    screen = Screen(writing)
    reading.close()
    screen.write("one\n")
    screen.write("two\n")
    screen.close()


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "stuck"])
def test_the_cluster_goes_on_when_its_output_does_not(cluster: ClusterRun, closed: bool) -> None:
    flood = {"command": child("lines=20000", "ready", "wait"), "ready": {"log": "ready"}}
    cluster.write({"web": flood})
    command = [sys.executable, "-m", "launcher", "-c", str(cluster.file), "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as shown:
        assert shown.stdout is not None
        if closed:
            shown.stdout.close()
        elif hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(shown.stdout, fcntl.F_SETPIPE_SZ, 4096)
        try:
            cluster.until_state("web.1", "running")
            cluster.ok("restart", "web")
            assert cluster.ok("status", "--json").json["state"] == "healthy"
            shown.send_signal(signal.SIGTERM)
            assert shown.wait(20) == 0
        finally:
            shown.kill()
