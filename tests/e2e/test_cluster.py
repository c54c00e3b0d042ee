"""The demo cluster as a user runs it: real processes, the five routes, deaths, a rolling restart under load, and the end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import luabus
from tests.support.demo import Demo
from tests.support.owners import line_of
from tests.support.waiting import until


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(tmp_path)
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.out + done.err
    try:
        yield demo
    finally:
        done = await demo.verb("down")
        assert done.code == 0, done.out + done.err
        await until(lambda: not demo.processes(), 5.0, f"the end of {demo.processes()}")


class Load:
    """Requests over `hash`, `random` and `master`, one after the other in several lanes, until stopped."""

    def __init__(self, bus: luabus.Bus, lanes: int = 6) -> None:
        self.bus = bus
        self.count: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.slowest_s = 0.0
        self._stopped = False
        self._tasks = [asyncio.create_task(self._lane(number)) for number in range(lanes)]

    async def _lane(self, number: int) -> None:
        turn = 0
        while not self._stopped:
            turn += 1
            begun = time.monotonic()
            try:
                if number % 3 == 0:
                    await self.bus.hash("mail", f"{number}-{turn}").request("stats")
                elif number % 3 == 1:
                    await self.bus.random("gateway").request("online")
                else:
                    await self.bus.master("director").request(
                        "find_match", f"p{turn}", wait_for_master=True, timeout=15.0
                    )
                self.count["ok"] += 1
            except luabus.LuabusError as error:
                self.count[type(error).__name__] += 1
                self.first.setdefault(type(error).__name__, str(error))
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)


def answered_by(result: dict[luabus.ServiceId, Any]) -> set[str]:
    return {str(service_id) for service_id in result}


async def test_all_five_routes_reach_whom_they_should(demo: Demo) -> None:
    async with demo.client() as bus:
        for name in ("mail.1", "mail.2", "mail.3"):
            assert set(await bus.target(name).request("stats")) == {"accounts", "mails"}
        for account in (f"account-{n}" for n in range(30)):
            owner = line_of(account)[0]
            await bus.hash("mail", account).request("send_mail", "test", account, "hello", "there")
            assert len(await bus.target(f"mail.{owner}").request("read_mail", account)) == 1
        logged_in = {await bus.random("gateway").request("login", f"guest-{n}") for n in range(40)}
        assert logged_in == {"1.1", "1.2"}
        assert answered_by(await bus.broadcast("gateway").gather("online", timeout=5.0)) == {"1.1", "1.2"}
        assert await bus.broadcast("mail").publish("stats") == 3
        lease = await bus.master("director").request("luabus.lease", wait_for_master=True)
        assert lease["is_master"]
        assert lease["service_id"] == bus.masters[bus.groups["director"]][0]


async def test_the_traffic_goes_on_when_a_service_and_a_router_are_killed(demo: Demo) -> None:
    async with demo.client() as bus:
        load = Load(bus)
        victim = line_of("alice")[0]
        killed = await demo.hit(f"mail.{victim}")
        preferred = bus.preferred_router
        await demo.hit(preferred)
        await until(lambda: bus.preferred_router not in ("", preferred), 5.0, "the other router")
        await bus.hash("mail", "alice").request("stats")  # the next in line has it
        await until(lambda: load.count["ok"] > 500, 30.0, "requests after the deaths")

        async def healthy() -> bool:
            return bool((await demo.json("status"))["state"] == "healthy")

        deadline = time.monotonic() + 30.0
        while not await healthy():
            assert time.monotonic() < deadline, (await demo.verb("status")).out
        assert await demo.pid(f"mail.{victim}") != killed
        await load.stop()
        # What was in flight at that moment is told so; nothing else fails, nothing runs into its time-out.
        assert set(load.count) <= {"ok", "PeerLost", "RouterLost", "NoRoute", "NotConnected"}, (
            load.count,
            load.first,
        )
        assert load.count.total() - load.count["ok"] - load.count["NotConnected"] < 50, (
            load.count,
            load.first,
        )


async def test_scale_gives_newcomers_their_keys_and_takes_them_back_and_restarts_nobody(demo: Demo) -> None:
    async def entries() -> list[dict[str, Any]]:
        routes = await demo.json("routes")
        assert routes["consistent"]
        return next(group["slots"] for group in routes["routers"][0]["groups"] if group["name"] == "mail")

    pids = {f"mail.{n}": await demo.pid(f"mail.{n}") for n in (1, 2, 3)}
    async with demo.client() as bus:
        load = Load(bus)
        for count in (5, 3):
            assert (await demo.verb("scale", f"mail={count}")).code == 0
            for account in (f"account-{n}-{count}" for n in range(20)):
                await bus.hash("mail", account).request("send_mail", "test", account, "hello", "there")
                owner = line_of(account, range(1, count + 1))[0]
                assert len(await bus.target(f"mail.{owner}").request("read_mail", account)) == 1
            shown = await entries()
            assert [row["name"] for row in shown] == [f"mail.{n}" for n in range(1, count + 1)]
            assert all(row["token"] and 0.85 / count < row["share"] < 1.15 / count for row in shown)
            assert sum(row["share"] for row in shown) == pytest.approx(1.0, abs=0.001)
        await load.stop()
        assert set(load.count) <= {"ok", "PeerLost"}, load.count
        assert load.count["ok"] > 100
    assert {name: await demo.pid(name) for name in pids} == pids
    assert (await demo.verb("status")).code == 0


async def test_another_director_takes_over_when_the_master_is_frozen(demo: Demo) -> None:
    async with demo.client() as bus:
        await bus.master("director").request("find_match", "a", wait_for_master=True)
        group = bus.groups["director"]
        old, epoch = bus.masters[group]
        name = f"director.{luabus.ServiceId(old).instance}"
        pid = await demo.hit(name, signal.SIGSTOP)
        try:
            await until(lambda: bus.masters[group][1] > epoch, 10.0, "another master")
            lease = await bus.master("director").request("luabus.lease", wait_for_master=True)
            assert lease["is_master"]
            assert lease["service_id"] != old
        finally:
            luabus_processes = {process.pid: process for process in demo.processes()}
            if pid in luabus_processes:
                luabus_processes[pid].resume()


async def test_a_rolling_restart_of_everything_under_load_loses_no_request(demo: Demo) -> None:
    async with demo.client() as bus:
        load = Load(bus)
        for service in ("mail", "gateway", "director", "router"):
            done = await demo.verb("restart", service)
            assert done.code == 0, done.out + done.err
        await load.stop()
        assert set(load.count) == {"ok"}, (load.count, load.first)


async def test_after_its_launcher_is_killed_nothing_is_left_and_the_next_up_works(demo: Demo) -> None:
    launcher = (await demo.json("status"))["pid"]
    everything = demo.processes()
    assert len(everything) >= 11
    next(process for process in everything if process.pid == launcher).kill()
    await until(lambda: not demo.processes(), 5.0, "the end of the children")
    assert (await demo.verb("status")).code == 3
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.out + done.err
