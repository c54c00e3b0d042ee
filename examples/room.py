"""Chat rooms that move: what is kept by key goes along with the key when instances come and go.

Callers say `bus.hash("room", name)`. When a newcomer takes its part of the rooms, or this instance leaves, `on_keys_moved`
hands what is kept here to the new owner. Lines have ids, so that what is handed over twice, or said again after an error, is
there once.
"""

from __future__ import annotations

import asyncio

import luabus

service = luabus.Service("room")
rooms: dict[str, dict[str, str]] = {}


@service.rpc
def say(room: str, line: str, text: str) -> int:
    """Put `text` into the room as the line with this id; returns how many are here."""
    lines = rooms.setdefault(room, {})
    lines[line] = text
    if not service.owns(room):  # the router that sent this knew of a change before us, or we knew first
        asyncio.get_running_loop().call_later(0.1, lambda: asyncio.ensure_future(hand_over()))
    return len(lines)


@service.rpc
def read(room: str) -> dict[str, str]:
    """All lines of the room that are here, oldest first."""
    return rooms.get(room, {})


@service.rpc
def take(room: str, lines: dict[str, str]) -> None:
    """Another instance had the room until now: its lines are older than what was said here meanwhile."""
    rooms[room] = {**lines, **rooms.get(room, {})}


@service.on_keys_moved
async def moved(gained: object, lost: object) -> None:
    """Ours no more: theirs."""
    await hand_over()


@service.on_stop
async def hand_over() -> None:
    """Give each room that is not ours to its owner; one that nobody takes stays."""
    for room in [room for room in rooms if not service.owns(room)]:
        lines = rooms.pop(room, None)
        if lines is None:  # another change has come meanwhile
            continue
        try:
            await service.bus.hash("room", room).request("take", room, lines)
        except luabus.LuabusError:
            take(room, lines)


if __name__ == "__main__":
    service.run()
