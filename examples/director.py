"""One decides, the others stand by: rooms are given out by the master alone.

Callers say `bus.master("director")`. The instances elect the master by a lease in a database; when it dies another takes
over, and starts with an empty queue: what only the master may know is lost with it, unless it is kept elsewhere.
"""

from __future__ import annotations

import logging

import luabus

service = luabus.Service("director")
log = logging.getLogger("director")

ROOM_SIZE = 4
waiting: list[str] = []
rooms_opened = 0


@service.on_master
def take_over() -> None:
    log.info("I am the master now")


@service.on_slave
def step_back() -> None:
    """Another one decides: what was planned here is void."""
    log.info("I am no longer the master")
    waiting.clear()


@service.rpc
def find_match(account: str) -> int | None:
    """Queue for a room: its number once it is full, None while the player has to wait."""
    global rooms_opened
    if account not in waiting:
        waiting.append(account)
    if len(waiting) < ROOM_SIZE:
        return None
    waiting.clear()
    rooms_opened += 1
    return rooms_opened


if __name__ == "__main__":
    service.run()
