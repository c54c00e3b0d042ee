"""A service's end: asked for from anywhere, bounded, by signals that several share."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import luabus
from luabus.errors import ConfigError, PeerLost, Refused
from luabus.service.service import Service
from tests.support.bus import SECRET, Star
from tests.support.waiting import until

Stop = Callable[[Service], Awaitable[Any]]


async def in_a_task_group(one: Service) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(one.stop())


async def leaving_the_block(one: Service) -> None:
    await one.__aexit__(None, None, None)


WAYS: list[Stop] = [
    lambda one: one.stop(), in_a_task_group, leaving_the_block, lambda one: asyncio.wait_for(one.stop(), 5),
    lambda one: asyncio.gather(one.stop(), one.stop()),
]  # fmt: skip


def serving(star: Star, **options: Any) -> Service:
    return Service(
        "mail", **{"group": 2, "instance": 1, "routers": star.addresses, "secret": SECRET, **options}
    )


# --- from inside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("waits_first", [False, True])
async def test_a_handler_may_await_the_stop_and_is_answered_for(way: Stop, waits_first: bool) -> None:
    async with Star() as star:
        one = serving(star)
        order: list[str] = []
        one.on_stop(lambda: order.append("on_stop"))

        @one.rpc
        async def shutdown() -> str:
            if waits_first:
                await asyncio.sleep(0.01)
            await way(one)
            order.append("handler")
            return "bye"

        bus = await star.client()
        running = asyncio.create_task(one.serve())
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is not None)
        assert await bus.target("mail.1").request("shutdown") == "bye"
        await running
        assert order == ["on_stop", "handler"]
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is None)


async def test_two_handlers_ask_for_the_stop_while_a_third_runs() -> None:
    async with Star() as star:
        one = serving(star)
        go_on = asyncio.Event()
        one.rpc(go_on.wait, name="hold")

        @one.rpc
        async def shutdown(name: str) -> str:
            await one.stop()
            return name

        await one.start()
        bus = await star.client()
        held = asyncio.create_task(bus.target("mail.1").request("hold"))
        await until(lambda: one.handlers.running == 1)
        asked = [asyncio.create_task(bus.target("mail.1").request("shutdown", name)) for name in "ab"]
        await until(lambda: one.handlers.running == 3)
        go_on.set()
        assert [await each for each in (held, *asked)] == [True, "a", "b"]


async def test_a_plain_handler_may_start_the_stop() -> None:
    async with Star() as star:
        one = serving(star)
        started: list[asyncio.Task[None]] = []
        one.rpc(lambda: started.append(asyncio.ensure_future(one.stop())), name="shutdown")
        await one.start()
        bus = await star.client()
        assert await bus.target("mail.1").request("shutdown") is None
        await started[0]


async def test_a_handler_that_asked_and_does_not_return_is_cancelled_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Star() as star:
        one = serving(star, drain_timeout=0.1)
        ended: list[str] = []

        @one.rpc
        async def shutdown() -> None:
            await one.stop()
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append("cancelled")

        await one.start()
        bus = await star.client()
        with pytest.raises((luabus.RemoteError, PeerLost)):
            await bus.target("mail.1").request("shutdown")
        await until(lambda: ended)


@pytest.mark.parametrize("what", ["bus", "manager", "handlers"])
async def test_a_handler_may_close_what_its_call_came_through(what: str) -> None:
    async with Star() as star:
        one = serving(star)
        done: list[str] = []

        @one.rpc
        async def shut() -> str:
            closers = {"bus": one.bus.close, "manager": one.bus.mgr.close, "handlers": one.handlers.close}
            await closers[what]()
            done.append("went on")
            return "answer"

        await one.start()
        bus = await star.client()
        request = asyncio.create_task(bus.target("mail.1").request("shut"))
        await until(lambda: done)
        if what == "handlers":
            assert await request == "answer"
        else:
            with pytest.raises(PeerLost):
                await request
        await one.stop()


async def test_a_callback_of_a_bus_may_close_it() -> None:
    async with Star() as star:
        bus = await star.client()
        closed = asyncio.Event()

        async def gone(router: str, connected: bool) -> None:
            await asyncio.wait_for(bus.close(), 5)
            closed.set()

        bus.on_router(gone)
        await star.routers[0].stop(0)
        await closed.wait()


async def test_a_start_hook_that_stops_the_service_ends_its_start() -> None:
    async with Star() as star:
        for serve in (False, True):
            one = serving(star)
            one.on_start(one.stop)
            if serve:
                await one.serve()
            else:
                with pytest.raises(Refused, match="was stopped while it started"):
                    await one.start()
            assert star.routers[0].mgr.switch.table.where(0x0002_0001) is None


async def test_a_stop_hook_that_stops_the_service_goes_on() -> None:
    async with Star() as star:
        one = serving(star)
        done: list[str] = []

        @one.on_stop
        async def again() -> None:
            await asyncio.wait_for(one.stop(), 5)
            done.append("went on")

        async with one:
            pass
        assert done == ["went on"]


@pytest.mark.parametrize("stage", ["master", "slave"])
async def test_a_hook_of_a_master_may_stop_the_service(stage: str, tmp_path: Path) -> None:
    async with Star() as star:
        one = serving(star, lease=f"sqlite:///{tmp_path / 'lease'}", lease_ttl=4.0, lease_renew=0.2)
        order: list[str] = []

        async def stop() -> None:
            await one.stop()
            order.append("went on")

        if stage == "master":
            one.on_master(stop)
            one.on_slave(lambda: order.append("slave"))
        else:
            one.on_slave(stop)
        running = asyncio.create_task(one.serve())
        if stage == "slave":
            await until(one.is_master)
            one.finish()
        began = time.monotonic()
        await running
        assert time.monotonic() - began < (1.5 if stage == "slave" else 8), "half the ttl is not waited for"
        assert "went on" in order
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is None)


async def test_stops_that_are_asked_for_together_are_one() -> None:
    async with Star() as star:
        one = serving(star)
        stopped: list[str] = []
        one.on_stop(lambda: stopped.append("once"))
        await one.start()
        await asyncio.gather(one.stop(), one.stop(), one.stop())
        assert stopped == ["once"]


# --- within its time ------------------------------------------------------------------------------------------


def stubbornly(until_set: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def stubborn() -> None:
        while not until_set.is_set():
            try:
                await until_set.wait()
            except asyncio.CancelledError:
                continue

    return stubborn


async def test_what_does_not_end_in_time_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    async with Star() as star:
        one = serving(star, drain_timeout=0.1)
        let_go = asyncio.Event()
        one.rpc(stubbornly(let_go), name="holds")
        one.on_stop(stubbornly(let_go))
        await one.start()
        bus = await star.client()
        held = asyncio.create_task(bus.target("mail.1").request("holds"))
        await until(lambda: one.handlers.running)
        began = time.monotonic()
        await one.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(PeerLost):
            await held
        log = caplog.text
        assert "1 calls are cancelled after 0.1 s: holds for client." in log
        assert "left behind, for they go on although they were cancelled: holds for client." in log
        hook = "stubbornly.<locals>.stubborn (on_stop)"
        assert f"{hook} has not ended in time and is cancelled" in log
        assert f"{hook} goes on although it was cancelled, and is left behind" in log
        let_go.set()
        await asyncio.sleep(0)


async def test_a_signal_ends_a_start_hook_that_hangs() -> None:
    async with Star() as star:
        one = serving(star)
        began = asyncio.Event()

        @one.on_start
        async def hangs() -> None:
            began.set()
            await asyncio.sleep(1000)

        running = asyncio.create_task(one.serve())
        await began.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await running


PROGRAM = """
import asyncio, sys, time, luabus
service = luabus.Service("mail", group=2, instance=1, routers=[sys.argv[1]], secret={secret!r}, drain_timeout=0.5)

@service.rpc
def blocks(): time.sleep(1000)

@service.rpc
async def stubborn():
    while True:
        try: await asyncio.sleep(1000)
        except asyncio.CancelledError: pass

@service.rpc
async def in_a_thread(): await asyncio.to_thread(time.sleep, 1000)

service.run()
"""


@pytest.mark.parametrize(
    ("method", "code", "words"),
    [
        ("stubborn", 0, "left behind, for they go on although they were cancelled: stubborn for client."),
        ("blocks", 128 + signal.SIGTERM, "in blocks"),
        ("in_a_thread", 128 + signal.SIGTERM, "threads go on and are left behind"),
    ],
)
async def test_a_program_goes_whatever_its_handlers_do(method: str, code: int, words: str) -> None:
    async with Star() as star:
        text = textwrap.dedent(PROGRAM).format(secret=SECRET)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", text, star.addresses[0], stderr=asyncio.subprocess.PIPE
        )
        bus = await star.client()
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is not None)
        bus.target("mail.1").send(method)
        await asyncio.sleep(0.2)  # it must have begun, and nothing tells
        began = time.monotonic()
        process.terminate()
        _, errors = await process.communicate()
        assert time.monotonic() - began < 8
        assert process.returncode == code, errors.decode()
        assert words in errors.decode()


# --- signals and threads --------------------------------------------------------------------------------------


async def test_two_in_one_process_end_at_one_signal_and_the_programs_handlers_come_back() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with Star() as star:
        both = [serving(star, instance=instance) for instance in (1, 2)]
        running = [asyncio.create_task(one.serve()) for one in both]
        table = star.routers[0].mgr.switch.table
        await until(lambda: all(table.where(0x0002_0000 | instance) is not None for instance in (1, 2)))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.gather(*running)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


@pytest.mark.parametrize(
    "again",
    [
        lambda one: one.serve(), lambda one: one.start(), lambda one: asyncio.to_thread(one.run),
        lambda one: one.__aenter__(),
    ],
)  # fmt: skip
async def test_who_serves_it_again_harms_nothing(again: Callable[[Service], Awaitable[Any]]) -> None:
    async with Star() as star:
        bus = await star.client()
        table = star.routers[0].mgr.switch.table
        one = serving(star)
        running = asyncio.create_task(one.serve())
        await asyncio.sleep(0)  # begun, and not started yet
        with pytest.raises(ConfigError, match="has been started already"):
            await again(one)
        await until(lambda: table.where(0x0002_0001) is not None)
        with pytest.raises(ConfigError, match="has been started already"):
            await again(one)
        await bus.target("mail.1").request("luabus.ping")
        one.finish()
        await running
        async with one:
            with pytest.raises(ConfigError, match="has been started already"):
                await again(one)
            await bus.target("mail.1").request("luabus.ping")


async def test_in_a_thread_of_its_own_it_runs_until_another_thread_finishes_it() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with Star() as star:
        one = serving(star)
        one.rpc(lambda: threading.current_thread().name, name="thread")
        thread = threading.Thread(target=one.run, name="the service's")
        thread.start()
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is not None)
        bus = await star.client()
        assert await bus.target("mail.1").request("thread") == "the service's"
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
        one.finish()
        await asyncio.to_thread(thread.join)
    one.finish()  # its loop has ended: nothing happens
