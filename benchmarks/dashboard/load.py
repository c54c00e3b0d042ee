"""What the dashboard costs the bus: the round trips of a loaded bus while nobody looks, while pages are open, and while the HTTP
API is asked as fast as it answers.

    python -m benchmarks.dashboard.load                   # 2 routers, 1,000 requests/s on the bus, 50 pages: about a minute
    python -m benchmarks.dashboard.load --rate 4000 --clients 8

A cluster as a user would start it. One process keeps the bus busy at a fixed rate and times its requests; another opens the
pages and asks the API. The phases alternate, so that each round's ratio means something on a machine that others use too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp

import luabus
from benchmarks.bus.roles.timing import round_trips
from benchmarks.children import ROOT

PATHS = (
    "/api/v1/status",
    "/api/v1/routes",
    "/api/v1/connections?sort=-rate_in&limit=100",
    "/api/v1/processes",
    "/api/v1/history?limit=100",
    "/api/v1/series?kind=messages",
    "/metrics",
    "/",
    "/connections",
)
PHASES = ("nobody looks", "pages open", "API under load")
STREAM = "/api/v1/events?notices=true&topics=status,routes,connections,processes,series"
SETTLE_S = 0.5
"""After a change of phase the poller looks at once; that belongs to neither side."""

CLUSTER = """
[cluster]
name = "benchmark"
run_dir = "run"
env = {{ PYTHONPATH = "{root}" }}
[routers]
count = 2
port = {port}
[dashboard]
port = {dashboard}
[services.mail]
group = 2
instances = 3
run = "examples.mail:service"
route = "hash"
"""

Figures = dict[str, float]


async def keep_busy(routers: list[str], secret_file: str, rate: float) -> None:
    """The process that loads the bus: for each line with a number of seconds it prints what its requests took."""
    async with luabus.connect(routers, groups={"mail": 2}, secret_file=secret_file) as bus:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        await _timed(bus, rate, SETTLE_S)
        print("ready", flush=True)
        while line := await lines.readline():
            print(json.dumps(await _timed(bus, rate, float(line))), flush=True)


async def _timed(bus: luabus.Bus, rate: float, seconds: float) -> dict[str, Any]:
    """Requests at a fixed rate, whatever the answers take: a slow answer must not spare the bus the next request."""
    took: list[float] = []
    failed = 0
    clock = time.perf_counter

    async def ask(number: int) -> None:
        nonlocal failed
        began = clock()
        try:
            await bus.hash("mail", f"account {number % 1000}").request("stats")
            took.append(clock() - began)
        except luabus.LuabusError:
            failed += 1

    began = clock()
    async with asyncio.TaskGroup() as asked:
        number = 0
        while (now := clock()) - began < seconds:
            while began + number / rate <= now:
                asked.create_task(ask(number))
                number += 1
            await asyncio.sleep(0.001)
    return round_trips(clock() - began, took) | {"failed": failed}


class Busy:
    """The other end of `keep_busy`."""

    def __init__(self, arguments: argparse.Namespace, secret_file: Path) -> None:
        routers = f"127.0.0.1:{arguments.port},127.0.0.1:{arguments.port + 1}"
        command = [sys.executable, "-m", "benchmarks.dashboard.load", "--busy", routers, str(secret_file)]
        self._popen = subprocess.Popen(
            [*command, "--rate", str(arguments.rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> str:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise SystemExit("the process that loads the bus ended")
        return line

    def measure(self, seconds: float) -> Figures:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{seconds}\n")
        self._popen.stdin.flush()
        found: Figures = json.loads(self._answer())
        return found

    def stop(self) -> None:
        self._popen.communicate()


async def follow(session: aiohttp.ClientSession) -> None:
    """An open page: the stream of notices, read until cancelled."""
    async with session.get(STREAM) as answer:
        async for _ in answer.content:
            pass


async def ask(session: aiohttp.ClientSession, took: dict[str, list[float]], first: int) -> None:
    """One client of the API: the next question when the last is answered, until cancelled."""
    number = first
    while True:
        path = PATHS[number % len(PATHS)]
        began = time.perf_counter()
        async with session.get(
            path, headers={"Accept": "text/html"} if path in ("/", "/connections") else {}
        ) as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path} answered {answer.status}")
        took[path].append(time.perf_counter() - began)
        number += 1


async def measure(
    arguments: argparse.Namespace, busy: Busy, token: str
) -> tuple[dict[str, list[Figures]], dict[str, list[float]]]:
    """By phase what the bus' requests took in each round; by path what the API's took."""
    bus: dict[str, list[Figures]] = {phase: [] for phase in PHASES}
    api: dict[str, list[float]] = defaultdict(list)
    url, bearer = f"http://127.0.0.1:{arguments.port + 2}", {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=0)
    stay = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, headers=bearer, connector=connector, timeout=stay) as session:
        for _ in range(arguments.rounds):
            for phase in PHASES:
                works: list[asyncio.Task[None]] = []
                if phase != "nobody looks":
                    works += [asyncio.create_task(follow(session)) for _ in range(arguments.pages)]
                if phase == "API under load":
                    works += [
                        asyncio.create_task(ask(session, api, first)) for first in range(arguments.clients)
                    ]
                await asyncio.sleep(SETTLE_S)
                bus[phase].append(await asyncio.to_thread(busy.measure, arguments.seconds))
                for work in works:
                    if work.done():
                        work.result()
                    work.cancel()
                await asyncio.gather(*works, return_exceptions=True)
    return bus, api


def show(arguments: argparse.Namespace, bus: dict[str, list[Figures]], api: dict[str, list[float]]) -> None:
    """The medians over the rounds; a ratio is the median of the rounds' ratios."""
    python = ".".join(map(str, sys.version_info[:3]))
    print(
        f"{arguments.rate:g} requests/s on the bus, {arguments.rounds} rounds of {arguments.seconds:g} s,",
        end=" ",
    )
    print(f"{os.cpu_count()} cores, Python {python}")
    print(f"  {'the bus while ...':<22}{'p50 ms':>9}{'p99 ms':>9}{'p99 ratio':>11}{'failed':>8}")
    quiet = [figures["p99_us"] for figures in bus[PHASES[0]]]
    for phase, rounds in bus.items():
        p50, p99 = (statistics.median(one[key] for one in rounds) / 1000 for key in ("p50_us", "p99_us"))
        ratio = statistics.median(one["p99_us"] / before for one, before in zip(rounds, quiet, strict=True))
        print(f"  {phase:<22}{p50:9.2f}{p99:9.2f}{ratio:11.2f}{sum(one['failed'] for one in rounds):8.0f}")
    total = sum(map(len, api.values())) / (arguments.rounds * (arguments.seconds + SETTLE_S))
    print(f"  the API, {arguments.clients} clients: {total:.0f} answers/s")
    for path in PATHS:
        took = sorted(1000 * one for one in api[path])
        print(f"    {path:<48}p50 {took[len(took) // 2]:6.1f} ms   p99 {took[int(len(took) * 0.99)]:6.1f} ms")


def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="luabus-dashboard-") as name:
        folder = Path(name)
        text = CLUSTER.format(root=ROOT, port=arguments.port, dashboard=arguments.port + 2)
        (folder / "cluster.toml").write_text(text, "utf-8")
        launcher = [sys.executable, "-m", "launcher", "-c", str(folder / "cluster.toml")]
        subprocess.run([*launcher, "up", "-d"], check=True, stdout=subprocess.DEVNULL)
        try:
            busy = Busy(arguments, folder / "run" / "secret")
            token = (folder / "run" / "dashboard.viewer.token").read_text("utf-8").strip()
            try:
                bus, api = asyncio.run(measure(arguments, busy, token))
            finally:
                busy.stop()
        finally:
            subprocess.run([*launcher, "down"], check=True, stdout=subprocess.DEVNULL)
    show(arguments, bus, api)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second on the bus")
    parser.add_argument("--pages", type=int, default=50, help="open pages")
    parser.add_argument(
        "--clients", type=int, default=4, help="clients of the API, each as fast as it is answered"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each phase in each round")
    parser.add_argument("--port", type=int, default=31_900, help="the first of three")
    parser.add_argument("--busy", nargs=2, metavar=("ROUTERS", "SECRET_FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.busy:
        routers, secret_file = arguments.busy
        asyncio.run(keep_busy(routers.split(","), secret_file, arguments.rate))
    else:
        run(arguments)


if __name__ == "__main__":
    main()
