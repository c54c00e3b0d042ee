"""Players who never sleep: steady traffic through all five routes, about 60 messages a second and their answers.

It stands for the callers of a real cluster, and shows the two ways to ask: `send` (one-way) and `request` (await the
answer, or a typed error at once when there can be none).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import luabus

service = luabus.Service("robot")
bus = service.bus
log = logging.getLogger("robot")

ACCOUNTS = ["alice", "bob", "carol", "erin", "grace", "judy", "mallory", "trent", "zoe"]


async def write_mail() -> None:
    """hash: an account's mail always meets in the same instance."""
    sender, receiver = random.sample(ACCOUNTS, 2)
    await bus.hash("mail", receiver).request("send_mail", sender, receiver, "hello", "how are you?")


async def read_mail() -> None:
    account = random.choice(ACCOUNTS)
    await bus.hash("mail", account).request("read_mail", account)


async def walk() -> None:
    """random: any gateway lets a player in; target: from then on we talk to that one."""
    account = random.choice(ACCOUNTS)
    gateway = await bus.random("gateway").request("login", account)
    for step in range(5):
        bus.target(gateway).send("move", account, step, step)


async def hear() -> None:
    """broadcast: one-way to all, or asking all and gathering what they say."""
    counts = await bus.broadcast("gateway").gather("online", timeout=1.0)
    here = sum(count for count in counts.values() if isinstance(count, int))
    bus.broadcast("gateway").send("announce", f"{here} players are here")


async def play() -> None:
    """master: only one may give out rooms."""
    await bus.master("director").request("find_match", random.choice(ACCOUNTS))


PER_SECOND = {write_mail: 10, read_mail: 5, walk: 5, hear: 1, play: 10}


async def steadily(act: Callable[[], Awaitable[None]], per_second: float) -> None:
    while True:
        try:
            await act()
            await asyncio.sleep(1 / per_second)
        except luabus.LuabusError as error:
            log.warning("%s: %s: %s", act.__name__, type(error).__name__, error)
            await asyncio.sleep(1)  # as a person would: try again a little later


acts: list[asyncio.Task[None]] = []


@service.on_start
async def wake_up() -> None:
    acts.extend(asyncio.create_task(steadily(act, rate)) for act, rate in PER_SECOND.items())


@service.on_stop
async def go_to_sleep() -> None:
    for act in acts:
        act.cancel()
    await asyncio.gather(*acts, return_exceptions=True)
    acts.clear()


if __name__ == "__main__":
    service.run()
