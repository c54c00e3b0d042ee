"""A supervisor over a fake backend, in a time that flies: what starts is ready by itself, unless a test says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from launcher.config.load import load
from launcher.plan.plan import Plan, make_plan
from launcher.runtime.run_dir import RunDir
from launcher.supervision.bus_presence import BusWatch
from launcher.supervision.instance import Instance
from launcher.supervision.operations import Operations
from launcher.supervision.states import SETTLED, State
from launcher.supervision.supervisor import Supervisor
from tests.support.fake_backend import FakeBackend, FakeBusWatch, FakeProcess
from tests.support.fast_time import run_fast

HEAD = """
[cluster]
name = "test"
[routers]
count = 1
[dashboard]
enabled = false
"""


class World:
    """One cluster. `late` names processes that do not become ready by themselves."""

    def __init__(self, folder: Path, services: str) -> None:
        self.file = folder / "cluster.toml"
        self.write(services)
        plan = self._plan({})
        self.late: set[str] = set()
        self.backend = FakeBackend(self._started)
        run_dir = RunDir(plan.run_dir)
        run_dir.prepare()
        self.supervisor = Supervisor(plan, run_dir, self.backend, self._watch_bus)
        self.operations = Operations(self.supervisor, self._plan)
        self.bus: FakeBusWatch

    def write(self, services: str) -> None:
        """cluster.toml, anew."""
        self.file.write_text(HEAD + services)

    def _plan(self, scaled: Mapping[str, int]) -> Plan:
        return make_plan(load(self.file, here=True), self.file, scaled)

    def _watch_bus(self, *arguments: Any) -> BusWatch:
        self.bus = FakeBusWatch(*arguments)
        return cast(BusWatch, self.bus)

    def _started(self, process: FakeProcess) -> None:
        asyncio.get_running_loop().call_soon(self._set_up, process)

    def _set_up(self, process: FakeProcess) -> None:
        if process.name in self.late:
            return
        spec = self[process.name].spec
        if spec.service == "router":
            self.bus.connect(*{*self.bus.connected, spec.name})
        elif spec.service_id is not None:
            self.bus.register(spec.service_id, len(self.bus.connected))
        process.say("ready")

    def __getitem__(self, name: str) -> Instance:
        return self.supervisor.instances[name]

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def history(self) -> list[str]:
        """`name: state` of every change so far."""
        return [
            f"{event['name']}: {event['state']}"
            for event in self.supervisor.events.after(0, 1000)
            if event["kind"] == "state"
        ]

    @property
    def states(self) -> dict[str, str]:
        return {name: str(instance.state) for name, instance in self.supervisor.instances.items()}

    async def reach(self, name: str, *states: State) -> None:
        """Waits until a process is in one of these states."""
        instance = self[name]
        await instance.until(lambda: instance.state in states)

    async def up(self) -> None:
        """Starts everything, and waits until all that can be is ready."""
        await self.supervisor.start()
        for name, instance in self.supervisor.instances.items():
            if name not in self.late:
                await self.reach(name, State.RUNNING, *SETTLED)
                assert instance.state is State.RUNNING, (name, instance.machine.detail)

    async def end(self) -> None:
        """Stops everything."""
        self.supervisor.stop("the test is over")
        await self.supervisor.stopped()
        await self.supervisor.close()


def play(folder: Path, services: str, history: Callable[[World], Awaitable[None]]) -> None:
    """Plays `history` in a world with these services (TOML), and ends it."""

    async def main() -> None:
        world = World(folder, services)
        await history(world)
        await world.end()

    run_fast(main())
