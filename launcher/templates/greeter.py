"""An example service. `luabus-cluster call random:greeter greet '"world"'` calls it."""

import logging

import luabus

service = luabus.Service("greeter")
log = logging.getLogger("greeter")
greeted: dict[str, int] = {}


@service.rpc
async def greet(name: str) -> str:
    greeted[name] = greeted.get(name, 0) + 1
    log.info("greeting %s", name)  # `luabus-cluster logs -f greeter`
    return f"Hello {name}, from {service.service_id}"


@service.rpc
def stats() -> dict[str, int]:
    return greeted
