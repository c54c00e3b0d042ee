"""How long a cluster takes to start, what `status` costs, and what the launcher takes while nothing happens.

    python -m benchmarks.launcher.start                    # 100 services of one handler each: about a minute
    python -m benchmarks.launcher.start --services 200 --idle 60

Everything runs through the command line, as a user would. Beside it stands what the same machine takes, in the same
minute, to start as many bare Pythons that only import asyncio: no launcher of Python services can be faster without
sharing interpreters, and the ratio of the two says more than seconds of a machine that others use as well.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

BARE = (sys.executable, "-c", "import asyncio")
STATUS_ROUNDS = 15

CLUSTER = """
[cluster]
name = "benchmark"
[routers]
port = {port}
[dashboard]
enabled = false
[services.tiny]
group = 1
run = "tiny:service"
instances = {services}
"""

SERVICE = """
import luabus

service = luabus.Service("tiny")


@service.rpc
def hello():
    return "hello"
"""


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_starts(count: int) -> float:
    """Seconds until so many bare Pythons have come and gone, as many at a time as the launcher starts."""

    def start(_: int) -> None:
        subprocess.run(BARE, check=True)

    with ThreadPoolExecutor(max(4, 4 * (os.cpu_count() or 1))) as pool:
        return timed(lambda: list(pool.map(start, range(count))))


class Cluster:
    """A cluster of `services` instances in `folder`, driven by `luabus-cluster`."""

    def __init__(self, folder: Path, port: int, services: int) -> None:
        self._file = folder / "cluster.toml"
        self._file.write_text(CLUSTER.format(port=port, services=services), "utf-8")
        (folder / "tiny.py").write_text(SERVICE, "utf-8")

    def verb(self, *words: str) -> str:
        """Runs a verb as a process of its own; what it printed. Ends the benchmark when it fails."""
        command = [sys.executable, "-m", "launcher", "-c", str(self._file), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def launcher(self) -> list[psutil.Process]:
        """The launcher and its guard."""
        pid = json.loads(self.verb("status", "--json"))["pid"]
        launcher = psutil.Process(pid)
        guard = launcher.parent()
        return [launcher] if guard is None or "up" not in guard.cmdline() else [launcher, guard]


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds that they have used since they started."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(services: int, idle_s: float, port: int) -> None:
    with tempfile.TemporaryDirectory(prefix="luabus-launcher-") as folder:
        cluster = Cluster(Path(folder), port, services)
        before = bare_starts(services)
        up = timed(lambda: cluster.verb("up", "-d"))
        try:
            bare = [timed(lambda: subprocess.run(BARE, check=True)) for _ in range(STATUS_ROUNDS)]
            status = [timed(lambda: cluster.verb("status")) for _ in range(STATUS_ROUNDS)]
            launcher = cluster.launcher()
            used = cpu_s(launcher)
            idle = timed(lambda: time.sleep(idle_s))
            used = 100 * (cpu_s(launcher) - used) / idle
            rss = sum(process.memory_info().rss for process in launcher) / 2**20
        finally:
            down = timed(lambda: cluster.verb("down"))
    after = bare_starts(services)
    floor = (before + after) / 2
    cores, python = os.cpu_count(), ".".join(map(str, sys.version_info[:3]))
    print(f"{services} services with one router on {cores} cores, Python {python}")
    print(f"  up -d, until all are ready     {up:6.2f} s    {up / floor:.1f} x the {floor:.2f} s that")
    print(f"                                             {services} bare Pythons with asyncio take")
    print(
        f"  status, as a whole process   {_ms(status)}    {_ratio(status, bare)} x the {_ms(bare).strip()} of"
    )
    print(
        f"                                             one bare Python; slowest {1000 * max(status):.0f} ms"
    )
    print(f"  the idle launcher and guard  {used:6.2f} %     of a core, over {idle:.0f} s; {rss:.0f} MiB")
    print(f"  down, until all are gone       {down:6.2f} s")


def _ms(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):6.0f} ms"


def _ratio(seconds: list[float], others: list[float]) -> str:
    return f"{statistics.median(seconds) / statistics.median(others):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds to watch the idle launcher for")
    parser.add_argument("--port", type=int, default=31_800, help="of the router")
    arguments = parser.parse_args()
    measure(arguments.services, arguments.idle, arguments.port)


if __name__ == "__main__":
    main()
