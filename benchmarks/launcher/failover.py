"""How long callers do without a master: after kill -9, after a clean stop, after a promotion.

    python -m benchmarks.launcher.failover                        # SQLite, ttl 10 s, renew 1 s: about two minutes
    python -m benchmarks.launcher.failover --store redis://127.0.0.1:6379 --rounds 2

Two routers, and three processes with an instance of each group (`--groups`), so that each end of a process is one
measurement per group which it was master of. Times are from the signal (or the request to promote) to the first answer
that a caller gets, through a router, from the group's next master.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import luabus
from luabus import admin

PROCESSES = 3
ROUTERS = 2


async def serve(arguments: argparse.Namespace) -> None:
    """A process of the benchmark: one instance of every group, until SIGTERM."""
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    services = [_service(arguments, group) for group in range(1, arguments.groups + 1)]
    await asyncio.gather(*(service.start() for service in services))
    await ends.wait()
    await asyncio.gather(*(service.stop() for service in services))


def _service(arguments: argparse.Namespace, group: int) -> luabus.Service:
    service = luabus.Service(
        f"group{group}", group=group, instance=arguments.instance, routers=arguments.routers.split(","), mode="master",
        lease=arguments.store, lease_ttl=arguments.ttl, lease_renew=arguments.renew,
    )  # fmt: skip

    @service.rpc
    def who() -> list[int]:
        """The instance and its epoch."""
        return [arguments.instance, service.epoch()]

    return service


@dataclass
class Cluster:
    """The processes, and a caller."""

    bus: luabus.Bus
    options: list[str]
    groups: range
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        environ = {**os.environ, "LUABUS_CLUSTER": f"failover-{os.getpid()}", "LUABUS_LOG_LEVEL": "ERROR"}
        self.processes[name] = subprocess.Popen([sys.executable, "-m", *command], env=environ)

    async def start_instance(self, instance: int) -> None:
        """Until it is there in every group."""
        self.start(str(instance), "benchmarks.launcher.failover", "--instance", str(instance), *self.options)
        for group in self.groups:
            await self._answer(self.bus.target(luabus.ServiceId.of(group, instance)), 0)

    async def masters(self) -> dict[int, tuple[int, int]]:
        """Per group the master's instance and epoch."""
        answers = [self._answer(self.bus.master(group), 1) for group in self.groups]
        found = await asyncio.gather(*answers)
        return {
            group: (instance, epoch) for group, (instance, epoch, _) in zip(self.groups, found, strict=True)
        }

    async def end(self, instance: int, by: signal.Signals) -> list[float]:
        """End a process; how long each of the groups that it was master of had none."""
        held = {
            group: epoch for group, (master, epoch) in (await self.masters()).items() if master == instance
        }
        process = self.processes[str(instance)]
        ended_at = time.monotonic()
        process.send_signal(by)
        found = await asyncio.gather(
            *(self._answer(self.bus.master(group), epoch + 1) for group, epoch in held.items())
        )
        await asyncio.to_thread(process.wait)
        return [at - ended_at for _, _, at in found]

    async def promote(self, group: int) -> float:
        """Promote the next instance; how long it took until it answered as master."""
        ((instance, epoch, _),) = [await self._answer(self.bus.master(group), 1)]
        asked_at = time.monotonic()
        heir = luabus.ServiceId.of(group, instance % PROCESSES + 1)
        promoting = asyncio.create_task(admin.promote(self.bus, heir))
        _, _, at = await self._answer(self.bus.master(group), epoch + 1)
        await promoting
        return at - asked_at

    @staticmethod
    async def _answer(route: luabus.Route, above: int) -> tuple[int, int, float]:
        """Ask until one answers whose epoch is that or higher: its instance, its epoch, and when."""
        while True:
            try:
                instance, epoch = await route.request("who", timeout=60.0, wait_for_master=True)
            except (luabus.NoRoute, luabus.PeerLost):
                epoch = -1  # not there yet, or it died before it answered
            if epoch >= above:
                return instance, epoch, time.monotonic()
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        await self.bus.close()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            await asyncio.to_thread(process.wait)


async def measure(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="luabus-failover-") as folder:
        url = arguments.store or f"sqlite:///{folder}/lease.db"
        routers = [f"127.0.0.1:{arguments.port + number}" for number in range(ROUTERS)]
        options = ["--store", url, "--routers", ",".join(routers), "--groups", str(arguments.groups)]
        options += ["--ttl", str(arguments.ttl), "--renew", str(arguments.renew)]
        bus = await luabus.connect(routers, timeout=0)
        cluster = Cluster(bus, options, range(1, arguments.groups + 1))
        took: dict[str, list[float]] = {"kill -9": [], "clean stop": [], "promote": []}
        try:
            for number, address in enumerate(routers, 1):
                cluster.start(
                    f"router.{number}", "luabus", "router", "--name", f"router.{number}", "--listen", address
                )
            await bus.ready(30.0)
            for instance in range(1, PROCESSES + 1):
                await cluster.start_instance(instance)
            for _ in range(arguments.rounds):
                for how, by in (("kill -9", signal.SIGKILL), ("clean stop", signal.SIGTERM)):
                    # The one with the most groups, and at no particular moment of its renewals.
                    held = [instance for instance, _ in (await cluster.masters()).values()]
                    instance = max(set(held), key=held.count)
                    await asyncio.sleep(arguments.renew * random.uniform(2.0, 3.0))
                    took[how] += await cluster.end(instance, by)
                    await cluster.start_instance(instance)
                for group in cluster.groups:
                    took["promote"].append(await cluster.promote(group))
        finally:
            await cluster.close()
    print(f"{url.partition(':')[0]}, ttl {arguments.ttl:g} s, renew {arguments.renew:g} s")
    for how, seconds in took.items():
        p50, worst = statistics.median(seconds), max(seconds)
        print(f"  {how:<10}  p50 {p50:6.2f} s   max {worst:6.2f} s   ({len(seconds)} times)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default="", help="URL of the lease store (default: a new SQLite file)")
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--ttl", type=float, default=10.0)
    parser.add_argument("--renew", type=float, default=1.0)
    parser.add_argument("--port", type=int, default=31_700, help="of the first router")
    parser.add_argument("--instance", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--routers", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments) if arguments.instance else measure(arguments))


if __name__ == "__main__":
    main()
