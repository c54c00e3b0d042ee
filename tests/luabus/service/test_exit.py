"""A handler or hook that ends the process: in order, with its exit code, by `run` and by `asyncio.run`, on both loops."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import luabus
from luabus.router.server import Router

PROGRAM = """
import asyncio, sys, luabus
router, how = sys.argv[1:]
service = luabus.Service("mail", group=2, instance=1, routers=[router])

def end(kind):
    raise {"exit": SystemExit(7), "interrupt": KeyboardInterrupt()}[kind]

service.rpc(end, name="plain")

@service.rpc
async def later(kind):
    await asyncio.sleep(0)
    end(kind)

@service.rpc
async def callback(kind):
    asyncio.get_running_loop().call_soon(end, kind)
    await asyncio.sleep(0.05)
    return "called"

@service.rpc
async def task(kind):
    asyncio.create_task(later(kind))
    await asyncio.sleep(0.05)
    return "called"

@service.rpc
async def neighbour():
    await asyncio.sleep(0.2)
    return "fine"

@service.on_stop
def stopped():
    print("stopped")

if how == "run":
    service.run()
elif how == "uvloop":
    import uvloop
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(service.serve())
else:
    asyncio.run(service.serve())
"""

STOPPING = """
import asyncio, sys, luabus
router, how, lease = sys.argv[1:]
service = luabus.Service("mail", group=2, instance=1, routers=[router], lease=lease)

def end():
    raise SystemExit(7)

@service.on_slave
async def slave():
    if how == "slave":
        await asyncio.sleep(0)
        end()

@service.rpc
async def stop():
    service.finish()
    if how == "timer":
        asyncio.get_running_loop().call_later(0.1, end)
    if how == "task group":
        async def later():
            await asyncio.sleep(0.1)
            end()
        async with asyncio.TaskGroup() as group:
            group.create_task(later())

@service.rpc
async def neighbour():
    await asyncio.sleep(0.4)
    return "fine"

@service.on_stop
async def stopped():
    await asyncio.sleep(0)
    print("stopped")

service.run()
"""


@pytest.mark.parametrize("how", ["slave", "timer", "task group"])
async def test_what_ends_the_process_while_it_stops_cuts_nothing_short(how: str, tmp_path: Path) -> None:
    async with Router(port=0) as router:
        address = f"127.0.0.1:{router.port}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STOPPING, address, how, f"sqlite:///{tmp_path / 'lease'}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(30), luabus.connect([address]) as bus:
                await bus.master(2).request("luabus.ping", wait_for_master=True)
                mail = bus.target("2.1")
                neighbour = asyncio.ensure_future(mail.request("neighbour"))
                await asyncio.sleep(0)  # it is sent first
                mail.send("stop")
                assert await neighbour == "fine"
            out, errors = await process.communicate()
            assert out.split() == [b"stopped"], errors.decode()
            assert process.returncode == 7
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize(
    ("how", "method", "kind"),
    [
        ("run", "plain", "exit"), ("run", "later", "interrupt"), ("run", "callback", "exit"), ("run", "task", "interrupt"),
        ("uvloop", "plain", "interrupt"), ("uvloop", "later", "exit"),
        ("asyncio", "plain", "exit"), ("asyncio", "later", "interrupt"),
    ],
)  # fmt: skip
async def test_what_ends_the_process_ends_it_in_order(how: str, method: str, kind: str) -> None:
    async with Router(port=0) as router:
        address = f"127.0.0.1:{router.port}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            address,
            how,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(30), luabus.connect([address]) as bus:
                mail = bus.target("2.1")
                while True:
                    with suppress(luabus.NoRoute):
                        await mail.request("luabus.ping")
                        break
                    await asyncio.sleep(0.02)
                neighbour = asyncio.ensure_future(mail.request("neighbour"))
                answer = (await asyncio.gather(mail.request(method, kind), return_exceptions=True))[0]
                assert answer == "called" or isinstance(answer, luabus.RemoteError)
                assert await neighbour == "fine"
                out, _ = await process.communicate()
            assert out.split() == [b"stopped"]
            assert process.returncode == (7 if kind == "exit" else -2)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
