"""The example service that `init` writes, on a bus of its own; in a cluster it is tested in ../test_starter.py."""

from __future__ import annotations

import luabus
from launcher.templates import greeter
from tests.support.ports import free_ports


async def test_it_greets_and_counts() -> None:
    port = free_ports()
    address = f"127.0.0.1:{port}"
    async with luabus.Router("router.1", port=port):
        service = luabus.Service("greeter", group=1, instance=1, routers=[address])
        service.rpc(greeter.greet)
        service.rpc(greeter.stats)
        async with service, luabus.connect([address], groups={"greeter": 1}) as bus:
            route = bus.random("greeter")
            assert (await route.request("greet", "world")).startswith("Hello world, from ")
            assert await route.request("stats") == {"world": 1}
