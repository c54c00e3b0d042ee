"""Which keys move when a group grows, shrinks, and loses an instance; counted from what its instances have received.

    python -m benchmarks.launcher.keys                  # 10,000 requests/s over hash for some 30 s
    python -m benchmarks.launcher.keys --rate 2000 --keys 500

A cluster of two routers and the demo's mail under `luabus-cluster`; half of the requests go through each router. Meanwhile
`scale mail=5`, `scale mail=3`, kill -9 of mail.2, and its return. Each instance writes down what it has been given, when,
and for which key, so that also what the killed one had received counts. Between two changes every key must be where the
rule has it (docs/keys.md); during one, where the rule has it before, after, or with a part of those who come or go. Ends with
exit code 1 where that is not so, or where the change has lost more than docs/semantics.md says: what a killed instance held.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Final

import luabus
from benchmarks.children import ROOT
from luabus.routing.buckets import bucket_of, in_line

GROUP: Final = 2
RECORD: Final = struct.Struct("<dII")
"""When (seconds of the machine's monotonic clock), which request, for which key."""
TURN_S: Final = 0.005
CATCH_UP_S: Final = 0.1
"""What a machine that is busy with other things has kept from being sent is sent later, so much of it at a time."""
SETTLED_S: Final = 0.5
"""After the end of a verb, or after a kill, before the table must be the new one everywhere."""

CLUSTER = """
[cluster]
name = "keys"
[routers]
count = 2
port = {port}
[dashboard]
enabled = false
[services.mail]
group = 2
instances = 3
run = "recorded:service"
route = "hash"
env = {{ PYTHONPATH = "{root}" }}
[services.mail.restart]
policy = "never"
"""

RECORDED = """
import os, struct, time
from collections import defaultdict, deque

from examples import mail

service = mail.service
written = os.open(f"received.{os.environ['LUABUS_INSTANCE']}.{os.getpid()}", os.O_CREAT | os.O_WRONLY)


class Box(deque):
    def append(self, one):
        super().append(one)
        os.write(written, struct.pack("<dII", time.monotonic(), int(one["title"]), int(one["body"])))


mail.boxes = defaultdict(lambda: Box(maxlen=mail.KEPT))
"""


@dataclass(frozen=True)
class Change:
    """From `began` to `ended` (monotonic seconds) the live instances became others."""

    name: str
    before: frozenset[int]
    after: frozenset[int]
    began: float
    ended: float


@dataclass
class Sent:
    """What was asked, by number of the request: its key, when, and what became of it ("" while it runs)."""

    keys: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)


def account(key: int) -> str:
    return f"account-{key}"


def owner(key: int, live: Iterable[int]) -> int:
    """The instance that has the key, by the rule."""
    members = [luabus.ServiceId.of(GROUP, instance) for instance in live]
    return in_line(bucket_of(luabus.hash_key(account(key))), members)[0] & 0xFFFF


class Cluster:
    """The cluster in `folder`, driven by `luabus-cluster`."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        (folder / "cluster.toml").write_text(CLUSTER.format(port=port, root=ROOT), "utf-8")
        (folder / "recorded.py").write_text(RECORDED, "utf-8")

    def verb(self, *words: str) -> str:
        """Runs a verb as a process of its own; what it printed. Ends the benchmark when it fails."""
        command = [sys.executable, "-m", "launcher", "-c", str(self._folder / "cluster.toml"), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def received(self) -> list[tuple[float, int, int, int]]:
        """When, which request, for which key, by which instance; by time."""
        rows = [
            (when, number, key, int(file.name.split(".")[1]))
            for file in self._folder.glob("received.*")
            for when, number, key in RECORD.iter_unpack(file.read_bytes())
        ]
        return sorted(rows)


class Load:
    """`rate` requests/s over all keys in turn, by each of the buses in turn."""

    def __init__(self, buses: list[luabus.Bus], keys: int, rate: float) -> None:
        self.sent = Sent()
        self._routes = [[bus.hash("mail", account(key)) for key in range(keys)] for bus in buses]
        self._rate = rate
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until it is cancelled."""
        due = 0.0
        last = time.monotonic()
        while True:
            now = time.monotonic()
            due = min(due + (now - last) * self._rate, CATCH_UP_S * self._rate)
            last = now
            for _ in range(int(due)):
                task = asyncio.create_task(self._ask(len(self.sent.keys)))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                self.sent.keys.append(len(self.sent.keys) // len(self._routes) % len(self._routes[0]))
                self.sent.at.append(now)
                self.sent.outcome.append("")
            due -= int(due)
            await asyncio.sleep(TURN_S)

    async def end(self) -> None:
        """All have their answers."""
        await asyncio.gather(*self._running)

    async def _ask(self, number: int) -> None:
        key = self.sent.keys[number]
        try:
            await self._routes[number % len(self._routes)][key].request(
                "send_mail", "benchmark", account(key), str(number), str(key)
            )
        except luabus.LuabusError as error:
            self.sent.outcome[number] = type(error).__name__
        else:
            self.sent.outcome[number] = "answered"


async def measure(keys: int, rate: float, calm_s: float, port: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="luabus-keys-") as folder:
        cluster = Cluster(Path(folder), port)
        await asyncio.to_thread(cluster.verb, "up", "-d")
        try:
            secret = Path(folder, ".luabus/secret")
            async with (
                luabus.connect([f"127.0.0.1:{port}"], secret_file=secret) as one,
                luabus.connect([f"127.0.0.1:{port + 1}"], secret_file=secret) as two,
            ):
                load = Load([one, two], keys, rate)
                running = asyncio.create_task(load.run())
                changes = await _history(cluster, calm_s)
                running.cancel()
                await load.end()
        finally:
            await asyncio.to_thread(cluster.verb, "down")
        return report(changes, load.sent, cluster.received(), keys)


async def _history(cluster: Cluster, calm_s: float) -> list[Change]:
    """Change after change, each after `calm_s` seconds without one; and the same again at the end."""
    changes = list[Change]()
    live = frozenset({1, 2, 3})
    steps = (
        ("scale mail=5", frozenset({1, 2, 3, 4, 5}), lambda: cluster.verb("scale", "mail=5")),
        ("scale mail=3", frozenset({1, 2, 3}), lambda: cluster.verb("scale", "mail=3")),
        ("kill -9 mail.2", frozenset({1, 3}), lambda: cluster.verb("kill", "mail.2")),
        ("start mail.2", frozenset({1, 2, 3}), lambda: cluster.verb("start", "mail.2")),
    )
    for name, after, do in steps:
        await asyncio.sleep(calm_s)
        began = time.monotonic()
        await asyncio.to_thread(do)
        await asyncio.sleep(SETTLED_S)
        changes.append(Change(name, live, after, began, time.monotonic()))
        live = after
    await asyncio.sleep(calm_s)
    return changes


def report(changes: list[Change], sent: Sent, received: list[tuple[float, int, int, int]], keys: int) -> bool:
    """Print what moved and what was lost; whether all of it is as the rule and the semantics say."""
    good = True
    seconds = sent.at[-1] - sent.at[0]
    counts = Counter(number for _, number, _, _ in received)
    outcomes = Counter(sent.outcome)
    twice = sum(count > 1 for count in counts.values())
    unknown = sum(
        outcome == "answered" and number not in counts for number, outcome in enumerate(sent.outcome)
    )
    print(
        f"{len(sent.keys)} requests in {seconds:.1f} s ({len(sent.keys) / seconds:.0f}/s) over {keys} keys,"
    )
    print(
        f"  {len(received)} received by the instances; answered and not received {unknown}, received twice {twice}"
    )
    good &= not unknown and not twice
    print(
        f"  {'':<15} {'keys moved':>10} {'by the rule':>11} {'others':>7}   {'elsewhere meanwhile':>19}   errors"
    )
    for number, change in enumerate(changes):
        since = changes[number - 1].ended if number else 0.0
        until = changes[number + 1].began if number + 1 < len(changes) else float("inf")
        old = _owners(received, since, change.began)
        new = _owners(received, change.ended, until)
        moved = {key for key in range(keys) if old.get(key) != new.get(key)}
        named = {key for key in range(keys) if owner(key, change.before) != owner(key, change.after)}
        strays = _strays(received, change)
        gone = change.before - change.after if change.name.startswith("kill") else frozenset()
        errors = Counter(
            sent.outcome[one] if owner(sent.keys[one], change.before) in gone else f"{sent.outcome[one]} of another key"
            for one, at in enumerate(sent.at)
            if change.began <= at < change.ended and sent.outcome[one] != "answered"
        )  # fmt: skip
        said = ", ".join(f"{count} {name}" for name, count in errors.items()) or "0"
        print(
            f"  {change.name:<15} {len(moved):>4} {100 * len(moved) / keys:4.1f} % {len(named):>11}"
            f" {len(moved ^ named):>7}   {strays:>19}   {said}"
        )
        right = all(new.get(key) == {owner(key, change.after)} for key in range(keys))
        good &= moved == named and right and not strays and set(errors) <= ({"PeerLost"} if gone else set())
        outcomes -= errors
    others = {
        name: count for name, count in outcomes.items() if name != "answered" and "of another" not in name
    }
    print(f"  errors between the changes: {others or 0}")
    return good and not others


def _owners(received: list[tuple[float, int, int, int]], since: float, until: float) -> dict[int, set[int]]:
    """Per key the instances that were given requests for it in this time."""
    found: dict[int, set[int]] = {}
    for when, _, key, instance in received:
        if since <= when < until:
            found.setdefault(key, set()).add(instance)
    return found


def _strays(received: list[tuple[float, int, int, int]], change: Change) -> int:
    """Requests during the change that were given to one who has the key neither before nor after it, nor on the way."""
    stay, others = change.before & change.after, sorted(change.before ^ change.after)
    parts = chain.from_iterable(combinations(others, count) for count in range(len(others) + 1))
    ways = [stay | set(part) for part in parts]
    allowed: dict[int, set[int]] = {}
    strays = 0
    for when, _, key, instance in received:
        if change.began <= when < change.ended:
            if key not in allowed:
                allowed[key] = {owner(key, live) for live in ways}
            strays += instance not in allowed[key]
    return strays


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=10_000.0, help="requests per second")
    parser.add_argument(
        "--calm", type=float, default=4.0, help="seconds before each change, and after the last"
    )
    parser.add_argument("--port", type=int, default=31_900, help="of the first of two routers")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=luabus.new_event_loop) as runner:
        if not runner.run(measure(arguments.keys, arguments.rate, arguments.calm, arguments.port)):
            sys.exit(1)


if __name__ == "__main__":
    main()
