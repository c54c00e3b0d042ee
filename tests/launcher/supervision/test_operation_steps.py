"""What one step on one process comes to, when something else happens to it meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from launcher.supervision.states import State
from luabus.messages import Message, of_map
from tests.launcher.supervision.world import World, play

WHO = {"by": "ann"}
WEB = """
[services.web]
command = ["web"]
instances = 2
ready = { log = "ready" }
"""


def test_a_start_that_a_stop_overtakes_says_so(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        await world.operations.stop("web.1", WHO)
        world.late.add("web.1")
        starting = asyncio.create_task(world.operations.start("web.1", WHO))
        await world.reach("web.1", State.STARTING)
        await world.operations.stop("web.1", WHO)
        report = await starting
        assert not report["ok"]
        assert of_map(report["message"]) == Message("report.was-stopped-meanwhile", name="web.1")

    play(tmp_path, WEB, history)


def test_a_start_of_what_is_scaled_away_says_so(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        await world.operations.stop("web.2", WHO)
        world.late.add("web.2")
        starting = asyncio.create_task(world.operations.start("web.2", WHO))
        await world.reach("web.2", State.STARTING)
        await world.operations.scale("web", 1, WHO)
        report = await starting
        assert of_map(report["message"]) == Message("report.was-removed-meanwhile", name="web.2")
        assert "web.2" not in world.supervisor.instances

    play(tmp_path, WEB, history)
