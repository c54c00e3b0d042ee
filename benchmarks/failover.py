"""How long a group is without a master: after kill -9, after a clean stop, after a hand-over.

    python -m benchmarks.failover                        # SQLite, ttl 10 s, renew 1 s: about three minutes
    python -m benchmarks.failover --store redis://127.0.0.1:6379 --rounds 2

Three processes are candidates for the same groups (`--groups`), so that each end of a process is one measurement per group
which it was master of. Times are of the machine's boot clock, which all processes share: from the signal (or the
request) to the moment at which a successor calls itself master.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from luabus.candidate import Candidate, lease_clock
from luabus.ids import ServiceId

PROCESSES = 3


async def candidates(url: str, instance: int, groups: int, ttl: float, renew: float) -> None:
    """A process of the benchmark: candidate `instance` in every group, until SIGTERM; `GROUP HEIR` on stdin hands over."""

    def say(group: int, epoch: int) -> None:
        print(json.dumps([instance, group, epoch, lease_clock()]), flush=True)

    namespace = f"failover-{os.getppid()}"
    members = {
        group: Candidate(
            group,
            ServiceId.of(group, instance),
            time.time_ns(),
            url,
            namespace=namespace,
            ttl=ttl,
            renew=renew,
            on_master=lambda epoch, group=group: say(group, epoch),  # type: ignore[misc]
        )
        for group in range(1, groups + 1)
    }
    loop = asyncio.get_running_loop()
    ends = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ends.set)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)

    async def obey() -> None:
        async for order in orders:
            group, heir = map(int, order.split())
            await members[group].hand_over(ServiceId.of(group, heir))

    obeying = asyncio.create_task(obey())
    await asyncio.gather(*(member.start() for member in members.values()))
    await ends.wait()
    await asyncio.gather(*(member.stop() for member in members.values()))
    obeying.cancel()


@dataclass
class Cluster:
    """The processes, and what they said."""

    arguments: list[str]
    processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    masters: dict[int, tuple[int, float]] = field(default_factory=dict)  # group -> instance, since when
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, instance: int) -> None:
        self.processes[instance] = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.failover", "--instance", str(instance), *self.arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.listeners.append(asyncio.create_task(self.listen(process)))

    async def listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            instance, group, _, at = json.loads(line)
            self.masters[group] = (instance, at)
            self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def end(self, instance: int, by: signal.Signals) -> list[float]:
        """End a process; how long each of its groups had no master then."""
        groups = [group for group, (master, _) in self.masters.items() if master == instance]
        ended_at = lease_clock()
        self.processes[instance].send_signal(by)
        await self.until(lambda: all(self.masters[group][1] > ended_at for group in groups))
        await self.processes[instance].wait()
        return [self.masters[group][1] - ended_at for group in groups]

    async def hand_over(self, group: int) -> float:
        instance, _ = self.masters[group]
        heir = instance % PROCESSES + 1
        orders = self.processes[instance].stdin
        assert orders is not None
        asked_at = lease_clock()
        orders.write(f"{group} {heir}\n".encode())
        await self.until(lambda: self.masters[group][0] == heir)
        return self.masters[group][1] - asked_at


async def measure(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="luabus-failover-") as folder:
        url = arguments.store or f"sqlite:///{folder}/lease.db"
        options = ["--store", url, "--groups", str(arguments.groups)]
        options += ["--ttl", str(arguments.ttl), "--renew", str(arguments.renew)]
        cluster = Cluster(options)
        took: dict[str, list[float]] = {"kill -9": [], "clean stop": [], "hand-over": []}
        for instance in range(1, PROCESSES + 1):
            await cluster.start(instance)
        await cluster.until(lambda: len(cluster.masters) == arguments.groups)
        for turn in range(arguments.rounds):
            for how, by in (("kill -9", signal.SIGKILL), ("clean stop", signal.SIGTERM)):
                # The one with the most groups, and at no particular moment of its renewals.
                held = [instance for instance, _ in cluster.masters.values()]
                instance = max(set(held), key=held.count)
                await asyncio.sleep(arguments.renew * (2 + turn * 0.37 % 1))
                took[how] += await cluster.end(instance, by)
                await cluster.start(instance)
            await asyncio.sleep(3 * arguments.renew)
            for group in range(1, arguments.groups + 1):
                took["hand-over"].append(await cluster.hand_over(group))
        for process in cluster.processes.values():
            process.terminate()
            await process.wait()
        await asyncio.gather(*cluster.listeners)
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
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--ttl", type=float, default=10.0)
    parser.add_argument("--renew", type=float, default=1.0)
    parser.add_argument("--instance", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.instance:
        run = candidates(
            arguments.store, arguments.instance, arguments.groups, arguments.ttl, arguments.renew
        )
        asyncio.run(run)
    else:
        asyncio.run(measure(arguments))


if __name__ == "__main__":
    main()
