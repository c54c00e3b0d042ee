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
soon: set[asyncio.Task[None]] = set()


@service.rpc
def say(room: str, line: str, text: str) -> int:
    """Put `text` into the room as the line with this id; returns how many are here."""
    lines = rooms.setdefault(room, {})
    lines[line] = text
    if not service.owns(room):
        hand_over_soon()
    return len(lines)


@service.rpc
def read(room: str) -> dict[str, str]:
    """All lines of the room that are here, oldest first."""
    return rooms.get(room, {})


@service.rpc
def take(room: str, lines: dict[str, str]) -> None:
    """Another instance had the room until now: its lines are older than what was said here meanwhile."""
    keep(room, lines)
    if not service.owns(room):
        hand_over_soon()


@service.on_keys_moved
async def moved(gained: object, lost: object) -> None:
    """Ours no more: theirs."""
    await hand_over()
    hand_over_soon()


@service.on_stop
async def leave() -> None:
    """Nothing is ours from now on, and nothing may be left on its way."""
    await hand_over()
    await asyncio.gather(*soon)


async def hand_over() -> None:
    """Give each room that is not ours to its owner; one that nobody takes stays."""
    for room in [room for room in rooms if not service.owns(room)]:
        lines = rooms.pop(room, None)
        if lines is None:  # another change has come meanwhile
            continue
        try:
            await service.bus.hash("room", room).request("take", room, lines)
        except luabus.LuabusError:
            keep(room, lines)


def keep(room: str, lines: dict[str, str]) -> None:
    """Lines that are older than what was said here meanwhile."""
    rooms[room] = {**lines, **rooms.get(room, {})}


def hand_over_soon() -> None:
    """For what is here and not ours: the router that sent it knew of a change before us, or we knew first, or its owner was on
    its way down. For a second; then it waits for the next change."""

    async def later() -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)
            await hand_over()
            if all(map(service.owns, rooms)):
                return

    if not soon and not all(map(service.owns, rooms)):
        task = asyncio.create_task(later())
        soon.add(task)
        task.add_done_callback(soon.discard)


if __name__ == "__main__":
    service.run()
