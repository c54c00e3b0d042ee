"""Use from another loop, thread or process is refused, and nothing is written."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from luabus.client.bus import Bus
from luabus.errors import LuabusError, PeerLost, Refused
from luabus.transport.connection import descriptor_of
from luabus.transport.manager import create_socket_mgr
from luabus.transport.stream import Stream
from tests.support.bus import SECRET, Star
from tests.support.streams import Pair
from tests.support.waiting import until

OF_A_BUS: dict[str, Callable[[Bus], Any]] = {
    "send": lambda bus: bus.target("mail.1").send("note", 1),
    "request": lambda bus: bus.target("mail.1").request("note", 1),
    "answered": lambda bus: bus.target("mail.1").answered("note", 1),
    "gather": lambda bus: bus.broadcast("mail").gather("note", 1),
    "publish": lambda bus: bus.broadcast("mail").publish("note", 1),
    "router": lambda bus: bus.router("router.1").request("luabus.routes"),
    "watch": lambda bus: bus.watch(),
    "ready": lambda bus: bus.ready(),
    "close": lambda bus: bus.close(),
    "leave": lambda bus: bus.membership.leave(),
    "stand": lambda bus: bus.membership.stand(),
    "report": lambda bus: bus.membership.report(None),
    "claim_master": lambda bus: bus.membership.claim_master(1),
    "resign_master": lambda bus: bus.membership.resign_master(1),
}
OF_A_STREAM: dict[str, Callable[[Stream], Any]] = {
    "call": lambda stream: stream.call("m"),
    "forward_target": lambda stream: stream.forward_target("2.1", "m"),
    "forward_hash": lambda stream: stream.forward_hash("key", 2, "m"),
    "forward_random": lambda stream: stream.forward_random(2, "m"),
    "forward_broadcast": lambda stream: stream.forward_broadcast(2, "m"),
    "forward_master": lambda stream: stream.forward_master(2, "m"),
    "request": lambda stream: stream.request("m"),
    "set_timeout": lambda stream: stream.set_timeout(1),
    "set_nodelay": lambda stream: stream.set_nodelay(False),
    "set_send_buffer_size": lambda stream: stream.set_send_buffer_size(1000),
    "set_recv_buffer_size": lambda stream: stream.set_recv_buffer_size(1000),
    "close": lambda stream: stream.close(),
    "ping": lambda stream: stream.ping(),
    "start_heartbeat": lambda stream: stream.start_heartbeat(),
    "connected": lambda stream: stream.connected(),
    "drained": lambda stream: stream.drained(),
    "wait_writable": lambda stream: stream.wait_writable(),
    "heard": lambda stream: stream.heard(1),
    "clock_known": lambda stream: stream.clock_known(),
    "closed": lambda stream: stream.closed(),
}


def outcome(use: Callable[[], Any]) -> BaseException | None:
    """What `use()` raised; in a loop of its own if there is something to await."""

    async def awaited() -> None:
        result = use()
        if asyncio.iscoroutine(result):
            await result

    try:
        asyncio.run(awaited())
    except LuabusError as error:
        return error
    return None


async def in_thread(use: Callable[[], Any]) -> BaseException | None:
    return await asyncio.to_thread(outcome, use)


@pytest.mark.parametrize("use", OF_A_BUS.values(), ids=OF_A_BUS)
async def test_a_bus_is_refused_elsewhere_and_nothing_is_sent(use: Callable[[Bus], Any]) -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        error = await in_thread(lambda: use(bus))
        assert isinstance(error, Refused)
        assert "run_coroutine_threadsafe" in str(error)
        await bus.target("mail.1").request("who")
        assert mail.notes == []


@pytest.mark.parametrize("use", OF_A_STREAM.values(), ids=OF_A_STREAM)
async def test_a_stream_is_refused_elsewhere_and_nothing_is_sent(use: Callable[[Stream], Any]) -> None:
    async with Pair() as pair:
        sent = pair.client.frames_out
        error = await in_thread(lambda: use(pair.client))
        assert isinstance(error, Refused)
        assert "run_coroutine_threadsafe" in str(error)
        assert pair.client.frames_out == sent
        assert pair.client.is_open


async def test_a_manager_and_its_listener_are_refused_elsewhere() -> None:
    async with Pair() as pair:
        mgr, port = pair.client_mgr, pair.listener.port
        for use in (
            lambda: mgr.connect("127.0.0.1", port), lambda: mgr.listen("127.0.0.1", 0), mgr.close,
            lambda: mgr.register("2.1", 0), pair.listener.close,
        ):  # fmt: skip
            error = await in_thread(use)
            assert isinstance(error, Refused)
        assert pair.client.is_open


async def test_stopping_a_service_from_another_thread_is_refused() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        assert isinstance(await in_thread(mail.service.stop), Refused)
        bus = await star.client()
        assert await bus.target("mail.1").request("who") == "mail.1"


async def test_handed_over_to_its_loop_it_works_from_a_thread() -> None:
    async with Star() as star:
        await star.mail(1)
        bus = await star.client()
        loop = asyncio.get_running_loop()

        def ask() -> Any:
            return asyncio.run_coroutine_threadsafe(bus.target("mail.1").request("who"), loop).result(5)

        assert await asyncio.to_thread(ask) == "mail.1"


def test_a_manager_of_a_loop_that_has_ended_says_so() -> None:
    async def main() -> tuple[Any, Any]:
        mgr = create_socket_mgr(2)
        listener = mgr.listen("127.0.0.1", 0)
        stream = mgr.connect("127.0.0.1", listener.port)
        await stream.connected()
        await mgr.close()
        return mgr, stream

    mgr, stream = asyncio.run(main())
    for use in (lambda: stream.call("m"), lambda: mgr.register("2.1", 0), lambda: mgr.wait(0)):
        with pytest.raises(Refused, match="the event loop of this manager has ended"):
            use()


def test_a_program_with_a_loop_of_its_own_is_refused_in_another_thread() -> None:
    mgr = create_socket_mgr(2)
    listener = mgr.listen("127.0.0.1", 0)
    mgr.wait(1)
    errors: list[Exception] = []

    def use() -> None:
        for call in (lambda: mgr.wait(1), lambda: mgr.connect("127.0.0.1", listener.port), mgr.shutdown):
            try:
                call()
            except Refused as error:
                errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 3
    mgr.shutdown()


# --- forks ----------------------------------------------------------------------------------------------------

POOL = """
import asyncio, sys, time, luabus, multiprocessing
from concurrent.futures import ProcessPoolExecutor
service = luabus.Service("mail", group=2, instance=1, routers=[sys.argv[1]], secret={secret!r})
pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))

@service.rpc
async def pid_of_a_child():
    return await asyncio.get_running_loop().run_in_executor(pool, __import__("os").getpid)

@service.rpc
async def hangs(): await asyncio.sleep(1000)

service.run()
"""

CHILD = """
import asyncio, os, sys, time, luabus
from luabus.errors import Refused

async def main():
    bus = await luabus.connect([sys.argv[1]], groups={{"mail": 2}}, secret={secret!r})
    conversation = None
    stream = bus.preferred
    pid = os.fork()
    if pid:
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        print("child", os.waitstatus_to_exitcode(status), flush=True)
        print("parent", await bus.target("2.1").request("who"), flush=True)
        pid = os.fork()
        if not pid:
            time.sleep(1000)
        print("forked", pid, flush=True)
        await bus.close()
        print("closed", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        os.kill(pid, 9)
        return
    refused = 0
    for use in (lambda: bus.target("2.1").send("note", 1), lambda: stream.call("m"), lambda: stream.close()):
        try:
            use()
        except Refused as error:
            refused += "connect anew in the child" in str(error)
    os._exit(run_in_child(bus, refused))

def run_in_child(bus, refused):
    async def uses():
        nonlocal refused
        for use in (bus.target("2.1").request("note", 1), bus.broadcast("mail").gather("note", 1), bus.close(), bus.ready()):
            try:
                await use
            except Refused as error:
                refused += "connect anew in the child" in str(error)
        async with luabus.connect([sys.argv[1]], groups={{"mail": 2}}, secret={secret!r}) as own:
            return await own.target("2.1").request("who")
    asyncio.set_event_loop(None)
    asyncio._set_running_loop(None)
    who = asyncio.run(uses())
    return 0 if (refused, who) == (7, "mail.1") else 100 + refused

asyncio.run(main())
"""


async def started(text: str, star: Star) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(text).format(secret=SECRET), star.addresses[0],
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_the_callers_of_a_killed_service_know_at_once_although_its_pool_lives() -> None:
    async with Star() as star:
        process = await started(POOL, star)
        bus = await star.client()
        await until(lambda: star.routers[0].mgr.switch.table.where(0x0002_0001) is not None)
        child = await bus.target("mail.1").request("pid_of_a_child")
        hanging = asyncio.create_task(bus.target("mail.1").request("hangs"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        process.kill()
        with pytest.raises(PeerLost):
            await hanging
        assert time.monotonic() - began < 1
        os.kill(child, signal.SIGKILL)
        await process.communicate()
        await until(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


async def test_a_child_cannot_use_its_parents_bus_and_connects_by_itself() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        process = await started(CHILD, star)
        assert process.stdout is not None
        assert process.stdin is not None
        assert await process.stdout.readline() == b"child 0\n"
        assert await process.stdout.readline() == b"parent mail.1\n"
        assert mail.notes == []
        assert (await process.stdout.readline()).startswith(b"forked")
        assert await process.stdout.readline() == b"closed\n"
        began = time.monotonic()
        await until(lambda: len(star.routers[0].connections()) == 1, what="only mail.1 is connected")
        assert time.monotonic() - began < 1, "a child's copy does not keep it half alive"
        process.stdin.write(b"\n")
        await process.wait()


async def test_no_descriptor_is_inherited_by_what_is_executed() -> None:
    async with Pair() as pair:
        descriptors = [
            pair.listener.fileno(), descriptor_of(pair.client.connection), descriptor_of(pair.server.connection)
        ]  # fmt: skip
        assert min(descriptors) >= 0
        assert not any(os.get_inheritable(descriptor) for descriptor in descriptors)


async def test_a_close_is_seen_at_once_although_somebody_else_has_a_copy() -> None:
    async with Pair() as pair:
        copies = [os.dup(descriptor_of(pair.client.connection)), os.dup(pair.listener.fileno())]
        pair.client.close()
        assert await pair.heard.reason() == "closed by peer"
        pair.listener.close()
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", pair.listener.port), 5):
            pass
        for copy in copies:
            os.close(copy)
