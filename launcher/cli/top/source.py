"""What `top` looks at: the launcher over its control channel, the routers over the bus. Both may come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luabus
import luabus.admin
from launcher.cli.identity import who
from launcher.cli.top.rates import Reading
from launcher.config.load import load
from launcher.errors import LauncherError, told
from launcher.plan.plan import make_plan
from launcher.runtime.control_client import Control, find_launcher
from launcher.runtime.run_dir import RunDir
from luabus.errors import LuabusError, NotConnected
from luabus.visible import visible, visible_values

Lines = Callable[[list[dict[str, Any]]], None]


class Source:
    """One cluster. Raises `ConfigError` when made, if the file is wrong; `NotRunning` from `start` when nothing runs."""

    def __init__(self, config: Path) -> None:
        self._plan = make_plan(load(config), config)
        self._run_dir = RunDir(self._plan.run_dir)
        self._bus: luabus.Bus | None = None
        self._control: Control | None = None
        self._follower: Control | None = None
        self._connecting = asyncio.Lock()

    async def start(self) -> None:
        """Connects to the launcher."""
        await self._connected()

    async def close(self) -> None:
        """Ends all connections."""
        await self.unfollow()
        await self._drop()
        await self._leave_bus()

    async def look(self) -> Reading:
        """Everything at this moment; what cannot be seen is left out, and `problem` says so."""
        try:
            status = visible_values(await (await self._connected()).request("status"))
        except (LuabusError, LauncherError) as error:
            await self._drop()
            await self._leave_bus()
            return Reading(time.monotonic(), problem=told(error))
        if status["state"] == "stopping":
            await self._leave_bus()  # routers wait for their last clients
            return Reading(time.monotonic(), status)
        if self._bus is None:
            self._bus = luabus.Bus()
            security = self._run_dir.security()
            await self._bus.start(self._plan.routers, groups=self._plan.groups, security=security)
        bus = self._bus
        try:
            routes, stats, connections = await asyncio.gather(
                luabus.admin.routes(bus), luabus.admin.stats(bus), luabus.admin.connections(bus)
            )
        except NotConnected:
            return Reading(time.monotonic(), status)  # the status tells which routers are lost
        except LuabusError as error:
            return Reading(time.monotonic(), status, problem=told(error))
        seen = visible_values([routes, stats, connections])
        return Reading(time.monotonic(), status, seen[0], tuple(seen[1]), tuple(seen[2]))

    async def ask(self, verb: str, *args: Any) -> str:
        """Has the launcher do something; what it says to that, or why it refuses."""
        try:
            answer = await (await self._connected()).request(verb, *args, who())
        except (LuabusError, LauncherError) as error:
            return told(error)
        return visible(str(answer["text"]))

    async def follow(self, name: str, lines: int, on_lines: Lines) -> None:
        """From now on what a process writes goes to `on_lines`, the last `lines` lines first. One process at a time."""
        await self.unfollow()
        follower = Control(self._run_dir, on_lines)
        await follower.__aenter__()
        self._follower = follower
        on_lines(await follower.request("follow", [name], lines))

    async def unfollow(self) -> None:
        """Ends that."""
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.__aexit__(None, None, None)

    async def _connected(self) -> Control:
        async with self._connecting:  # a look and a verb may come at once
            if self._control is None:
                control = Control(self._run_dir)
                await control.__aenter__()
                self._control = control
            return self._control

    async def _leave_bus(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            await bus.close()

    async def _drop(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            await control.__aexit__(None, None, None)


def require_launcher(source: Path) -> None:
    """Raises `NotRunning` at once instead of showing an empty screen."""
    find_launcher(RunDir(make_plan(load(source), source).run_dir))
