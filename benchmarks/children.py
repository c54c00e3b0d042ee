"""Starts the processes of a measurement, talks to them, and ends them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from luabus import LuabusError

ROOT = Path(__file__).parents[1]
_START_S = 20.0
_END_S = 5.0


class BenchmarkError(LuabusError):
    """A measurement that cannot be made: a program is missing, a process failed, messages were lost."""


class Program:
    """A router or server, run as its users do."""

    def __init__(self, *command: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        self.process = psutil.Process(self.popen.pid)

    def cpu_s(self) -> float:
        """Processor time it has used so far."""
        return _cpu_s(self.process)

    def rss_bytes(self) -> int:
        """Memory that is in use now."""
        return int(self.process.memory_info().rss)

    def wait_for_port(self, port: int) -> None:
        """Return when somebody listens at `port`. Raises `BenchmarkError` when the program ends, or takes too long."""
        until = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                return
            except OSError:
                if self.popen.poll() is not None or time.monotonic() > until:
                    text = self._log.read_text("utf-8", "replace")[-2000:]
                    raise BenchmarkError(f"{self.popen.args!r} did not start:\n{text}") from None
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, in order if it can."""
        self.popen.terminate()
        try:
            self.popen.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class Child:
    """A process with one of the `roles`."""

    def __init__(self, role: str, **options: Any) -> None:
        self.role = role
        command = [
            sys.executable,
            "-m",
            "benchmarks.child",
            f"benchmarks.bus.roles.{role}",
            json.dumps(options),
        ]
        self.popen = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process = psutil.Process(self.popen.pid)

    def cpu_s(self) -> float:
        """Processor time it has used so far."""
        return _cpu_s(self.process)

    def ready(self) -> dict[str, Any]:
        """What it says once it is set up."""
        return self._hear()

    def ask(self, command: str, **options: Any) -> dict[str, Any]:
        """Have it carry out a command; returns the answer. Raises `BenchmarkError` with the child's traceback."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps([command, options]) + "\n")
        self.popen.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise BenchmarkError(f"the process {self.role} ended with exit code {self.popen.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise BenchmarkError(f"the process {self.role} failed:\n{answer['failed']}")
        return answer

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.close()
        try:
            self.popen.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()


class Cast:
    """All processes of one system in one measurement; leaving it ends them, the last started first."""

    def __init__(self) -> None:
        self._all: list[Child | Program] = []

    def __enter__(self) -> Cast:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all."""
        while self._all:
            self._all.pop().stop()

    def cpu_s(self) -> float:
        """Processor time that all have used so far."""
        return sum(one.cpu_s() for one in self._all)

    def program(self, *command: str, log: Path) -> Program:
        """Start a program that is part of it."""
        started = Program(*command, log=log)
        self._all.append(started)
        return started

    def child(self, role: str, **options: Any) -> Child:
        """Start a process with a role, and wait until it is ready."""
        started = Child(role, **options)
        self._all.append(started)
        started.ready()
        return started


def _cpu_s(process: psutil.Process) -> float:
    """Of all its threads, user and system."""
    times = process.cpu_times()
    return float(times.user + times.system)


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
