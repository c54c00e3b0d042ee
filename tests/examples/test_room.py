from __future__ import annotations

import asyncio

import luabus
from tests.examples.conftest import Demo
from tests.support.waiting import until

ROOMS = [f"room {number}" for number in range(40)]


async def test_no_line_is_lost_while_instances_come_and_go(demo: Demo) -> None:
    said: dict[str, list[str]] = {room: [] for room in ROOMS}
    talking = True

    async def talk(lane: int) -> None:
        number = 0
        while talking:
            number += 1
            room, line = ROOMS[(number * 7 + lane) % len(ROOMS)], f"{lane}-{number}"
            while True:
                try:
                    await demo.bus.hash("room", room).request("say", room, line, "hello")
                    break
                except luabus.LuabusError:  # it may have been carried out: said again it is the same line
                    await asyncio.sleep(0.01)
            said[room].append(line)

    instances = {n: await demo.start("room", n) for n in (1, 2, 3)}
    lanes = [asyncio.create_task(talk(lane)) for lane in range(4)]

    async def more_is_said(count: int = 200) -> None:
        before = sum(map(len, said.values()))
        await until(lambda: sum(map(len, said.values())) >= before + count)

    await more_is_said()
    for n in (4, 5):
        instances[n] = await demo.start("room", n)
        await more_is_said()
    assert all(instances[n].rooms for n in (4, 5))
    for n in (5, 4):
        await instances[n].service.stop()
        await more_is_said()
        assert not instances[n].rooms
    talking = False
    await asyncio.gather(*lanes)
    for n in (1, 2, 3):
        await instances[n].hand_over()
    for room, lines in said.items():
        assert set(await demo.bus.hash("room", room).request("read", room)) == set(lines)


async def test_what_comes_to_one_who_does_not_own_it_goes_on_to_its_owner(demo: Demo) -> None:
    instances = {n: await demo.start("room", n) for n in (1, 2)}
    for room in ROOMS:
        await demo.bus.target("room.1").request("take", room, {"1": "hello"})
        await demo.bus.target("room.1").request("say", room, "2", "hello")
    mine = {room for room in ROOMS if instances[1].service.owns(room)}
    await until(lambda: set(instances[1].rooms) == mine and set(instances[2].rooms) == set(ROOMS) - mine)
    for room in ROOMS:
        assert list(await demo.bus.hash("room", room).request("read", room)) == ["1", "2"]
