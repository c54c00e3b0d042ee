"""Routers, three `chief`s and a `recorder` as real processes, steady callers, and what all of them wrote down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar

import luabus
from luabus import admin
from luabus.lease.candidate import lease_clock
from tests.support.ports import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
TTL, RENEW = 2.0, 0.25
TAKE_OVER_S = TTL + 2 * RENEW + 1.0
CLEAN_STOP_S = 1.5
GROUPS = {"chief": 1, "recorder": 9}
ALL = ("router.1", "router.2", "recorder.1", "chief.1", "chief.2", "chief.3")


T = TypeVar("T")


async def look_until(
    look: Callable[[], Awaitable[T]], check: Callable[[T], object], timeout_s: float, what: str
) -> T:
    """Ask other processes until `check` likes the answer, and return it. Raises `AssertionError`."""
    deadline = time.monotonic() + timeout_s
    while not check(found := await look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}; found {found}"
        await asyncio.sleep(0.02)
    return found


@dataclass(frozen=True)
class Act:
    """One line that a process wrote: `source` did `what` under `epoch`; what came as a message was `sent` before `at`."""

    at: float
    what: str
    source: str
    epoch: int
    sent: float


class MasterCluster:
    """`async with MasterCluster(folder, store_url) as cluster`: everybody is there, and one chief is master."""

    def __init__(self, folder: Path, lease: str, processes: Iterable[str] = ALL) -> None:
        self.folder = folder
        self.lease = lease
        self.port = free_ports(2)
        self.routers = [f"127.0.0.1:{self.port}", f"127.0.0.1:{self.port + 1}"]
        self.secret = folder / "secret"
        self.secret.write_text("the secret of the masters")
        self.bus: luabus.Bus
        self._names = list(processes)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        self.bus = await luabus.connect(
            self.routers, groups=GROUPS, secret_file=str(self.secret), timeout=0.0
        )
        try:
            for name in self._names:
                self.start(name)
            await self.bus.ready(20.0)
            for name in self._names:
                if not name.startswith("router"):
                    await self.until_registered(name)
            await self.until_master()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.bus.close()
        for name, process in self._processes.items():
            process.send_signal(signal.SIGCONT)
            process.kill()
            await self.until_ended(name)

    # --- processes ----------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """`router.1`, `chief.2`, ...: a process of its own; an earlier one of that name has been told to end."""
        if name in self._processes:
            self._processes[name].wait(10)
        service, _, instance = name.partition(".")
        environ = {
            **os.environ,
            "LUABUS_SECRET_FILE": str(self.secret),
            "LUABUS_RUN_DIR": str(self.folder),
            "LUABUS_ROUTERS": ",".join(self.routers),
            "LUABUS_SERVICE": service,
            "LUABUS_INSTANCE": instance,
            "LUABUS_GROUPS": json.dumps(GROUPS),
            "LUABUS_LEASE": self.lease,
            "LUABUS_LEASE_TTL": str(TTL),
            "LUABUS_LEASE_RENEW": str(RENEW),
        }
        command = ["run", f"tests.support.master_programs:{service}"]
        if service == "router":
            command = ["router", "--name", name, "--listen", self.routers[int(instance) - 1]]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "luabus", *command],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def send_signal(self, name: str, number: signal.Signals) -> float:
        """When it was sent."""
        self._processes[name].send_signal(number)
        return lease_clock()

    async def until_ended(self, name: str) -> int:
        """Its exit code."""
        process = self._processes[name]
        await until(lambda: process.poll() is not None, what=f"{name} ends")
        return int(process.returncode)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    # --- what the routers say -----------------------------------------------------------------------------------

    async def tables(self) -> dict[str, dict[str, Any]]:
        """Each router's row of the group of chiefs."""
        found = await admin.routes(self.bus)
        return {
            table["router"]: group
            for table in found["routers"]
            for group in table["groups"]
            if group["group"] == GROUPS["chief"]
        }

    async def masters(self) -> set[tuple[str | None, int]]:
        """(master, epoch) as each router has it: one when they agree."""
        return {
            (f"chief.{row['master'].partition('.')[2]}" if row["master"] else None, row["epoch"])
            for row in (await self.tables()).values()
        }

    async def until_tables(
        self, check: Callable[[set[tuple[str | None, int]]], object], what: str, timeout_s: float = 10.0
    ) -> set[tuple[str | None, int]]:
        return await look_until(self.masters, check, timeout_s, what)

    async def until_master(self, above: int = 0, timeout_s: float = 10.0) -> tuple[str, int]:
        """Until all connected routers name the same master, of an epoch above that one."""

        def settled(found: set[tuple[str | None, int]]) -> bool:
            (master, epoch), *others = found or {(None, 0)}
            return not others and master is not None and epoch > above

        ((master, epoch),) = await self.until_tables(settled, f"a master above {above}", timeout_s)
        assert master is not None
        return master, epoch

    async def until_registered(self, name: str, routers: int = 2) -> None:
        """Until that many routers have it."""

        async def there() -> int:
            tables = (await admin.routes(self.bus))["routers"]
            rows = [slot for table in tables for group in table["groups"] for slot in group["slots"]]
            return sum(bool(slot["token"]) and slot["name"] == name for slot in rows)

        await look_until(there, lambda found: found == routers, 20.0, f"{name} at {routers} routers")

    async def alarms(self) -> list[str]:
        return [alarm["text"] for row in await admin.stats(self.bus) for alarm in row["alarms"]]

    async def until_alarms(self, check: Callable[[list[str]], object], timeout_s: float) -> list[str]:
        return await look_until(self.alarms, check, timeout_s, "alarms")

    # --- what was written down ----------------------------------------------------------------------------------

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def received(self) -> list[Act]:
        """What the recorder was told by masters, in the order in which it came."""
        lines = self._lines("recorder.1")
        return [Act(line["at"], line["what"], line["source"], line["epoch"], line["sent"]) for line in lines]

    def done(self) -> list[Act]:
        """What the chiefs wrote down themselves, by time."""
        lines = [line for name in ("chief.1", "chief.2", "chief.3") for line in self._lines(name)]
        acts = [Act(line["at"], line["what"], line["who"], line["epoch"], line["at"]) for line in lines]
        return sorted(acts, key=lambda act: act.at)

    async def began(self, epoch: int) -> float:
        """When that epoch's master was told that it is one. The routers know a little earlier."""

        def told() -> list[float]:
            return [act.at for act in self.done() if act.what == "on_master" and act.epoch == epoch]

        await until(told, what=f"on_master for epoch {epoch}")
        return told()[0]

    def assert_one_master_at_a_time(self) -> None:
        """Each epoch belongs to one process; nobody did or said anything under an epoch after another acted under a higher one;
        and no receiver was told anything under an epoch after a higher one (a message may arrive later than what others do)."""
        received, acted = self.received(), [act for act in self.done() if act.what == "acted"]
        assert received
        assert acted
        owners: dict[int, str] = {}
        for act in [*received, *acted]:
            assert act.epoch > 0, act
            assert owners.setdefault(act.epoch, act.source) == act.source, act
        for acts in (received, acted, sorted([*received, *acted], key=lambda act: act.sent)):
            epochs = [act.epoch for act in acts]
            back = [pair for pair in pairwise(acts) if pair[1].epoch < pair[0].epoch]
            assert epochs == sorted(epochs), back
        (reigns,) = [[act.epoch for act in self.done() if act.what == "on_master"]]
        assert reigns == sorted(set(reigns))


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent, how long it took, and what came."""

    at: float
    took_s: float
    master: str
    epoch: int
    error: str


class Callers:
    """Requests and one-way messages to the master, steadily; some callers want to wait for one, some do not."""

    def __init__(self, cluster: MasterCluster, every_s: float = 0.01) -> None:
        self._bus = cluster.bus
        self._every_s = every_s
        self._number = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: list[Answer] = []
        self.patient: list[Answer] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._ask(self.answers, wait=False, timeout=1.0)),
            asyncio.create_task(self._ask(self.patient, wait=True, timeout=20.0)),
            asyncio.create_task(self._tell()),
        ]
        await self.until_answered()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if not isinstance(result, asyncio.CancelledError):
                raise AssertionError("a caller ended") from result

    async def until_answered(self, epoch: int = 1, count: int = 10) -> None:
        """Until both kinds of callers have that many answers more, of this epoch or a later one."""

        def good(answers: list[Answer]) -> int:
            return sum(not answer.error and answer.epoch >= epoch for answer in answers)

        before = good(self.answers), good(self.patient)
        await until(
            lambda: good(self.answers) >= before[0] + count and good(self.patient) >= before[1] + count,
            what=f"answers under epoch {epoch}; the last was {self.answers[-1:]}",
        )

    async def until_refused(self, count: int = 10) -> None:
        """Until that many requests more met `NoMaster`."""
        before = self.refusals()
        await until(lambda: len(self.refusals()) >= len(before) + count, what="NoMaster")

    def refusals(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.error == "NoMaster"]

    def between(self, begin: float, end: float) -> list[Answer]:
        """Requests of the impatient that were sent and answered within that time."""
        return [answer for answer in self.answers if begin <= answer.at and answer.at + answer.took_s <= end]

    async def _ask(self, into: list[Answer], *, wait: bool, timeout: float) -> None:
        route = self._bus.master("chief")
        while True:
            self._number += 1
            at = lease_clock()
            master, epoch, error = "", 0, ""
            try:
                master, epoch = await route.request(
                    "act", self._number, timeout=timeout, wait_for_master=wait
                )
            except luabus.LuabusError as caught:
                error = type(caught).__name__
            into.append(Answer(at, lease_clock() - at, master, epoch, error))
            await asyncio.sleep(self._every_s)

    async def _tell(self) -> None:
        route = self._bus.master("chief")
        while True:
            self._number += 1
            with contextlib.suppress(luabus.NotConnected):  # while no router is there
                await route.send("act", self._number)
            await asyncio.sleep(self._every_s)
