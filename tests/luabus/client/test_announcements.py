"""What routers tell every process."""

from __future__ import annotations

from tests.support.bus import Instance, Star
from tests.support.waiting import until


async def test_names_are_learnt_from_the_routers() -> None:
    async with Star() as star:
        bus = await star.client(groups={})
        assert {name: bus.groups[name] for name in ("mail", "gateway")} == {"mail": 2, "gateway": 1}
        made = Instance("robot", 1, {"routers": star.addresses, "group": 77})
        async with made.service:
            await until(lambda: bus.groups.get("robot") == 77)
            assert bus.names[77] == "robot"
            assert await bus.target("robot.1").request("who") == "robot.1"
