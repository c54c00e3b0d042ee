"""More strangers than there are descriptors: members come in, nothing spins, and it is said once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

import luabus
from luabus.service.service import Service
from tests.support.ports import free_ports
from tests.support.waiting import until

LIMIT = 256
STRANGERS = 300
PROGRAM = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
    {body}
"""
ROUTER = """
    from luabus.__main__ import main
    main(["router", "--listen", "127.0.0.1:{port}"])
"""
PLAIN = """
    import asyncio, luabus
    async def serve():
        mgr = luabus.create_socket_mgr(65_536)
        listener = mgr.listen("127.0.0.1", {port}, backlog=128)
        handlers = luabus.Dispatcher()
        handlers.rpc(lambda: mgr.refused, name="refused")
        listener.on_accept = handlers.serve
        await asyncio.Event().wait()
    asyncio.run(serve())
"""


@contextlib.asynccontextmanager
async def limited(body: str, log: Path) -> Any:
    """A program with few descriptors, and the port at which it listens."""
    port = free_ports()
    text = textwrap.dedent(PROGRAM).format(limit=LIMIT, body=textwrap.dedent(body).format(port=port))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", text, stdout=output, stderr=output
        )
    try:
        await until(lambda: answers(port), what="it listens")
        yield process.pid, port
    finally:
        process.kill()
        await process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Flood:
    """Strangers who say `said`, and come again when they are turned away."""

    def __init__(self, port: int, said: bytes) -> None:
        self._port = port
        self._said = said
        self.came = 0

    async def __aenter__(self) -> Flood:
        self._tasks = [asyncio.create_task(self._stranger()) for _ in range(STRANGERS)]
        await until(lambda: self.came >= STRANGERS)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stranger(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self.came += 1
                try:
                    writer.write(self._said)
                    while await reader.read(1000):
                        pass
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
@pytest.mark.parametrize("said", [b"", b"\x20\x00\x00\x00\x01\x00"])
async def test_members_come_in_to_a_router_that_strangers_flood(tmp_path: Path, said: bytes) -> None:
    log = tmp_path / "log"
    async with asyncio.timeout(60), limited(ROUTER, log) as (pid, port):
        service = Service("mail", group=2, instance=1, routers=[f"127.0.0.1:{port}"])
        service.rpc(lambda: "here", name="who")
        async with service, Flood(port, said):
            for _ in range(8):
                async with luabus.connect([f"127.0.0.1:{port}"]) as bus:
                    await bus.ready(10)
                    assert await bus.target("2.1").request("who") == "here"
                    stats = await bus.router("router.1").request("luabus.stats")
            assert stats["refused"] > STRANGERS - LIMIT
            assert [alarm["code"] for alarm in stats["alarms"]] == ["alarm.connections-turned-away"]
            process = psutil.Process(pid)
            before = process.cpu_times()
            await asyncio.sleep(1)
            after = process.cpu_times()
            assert after.user + after.system - before.user - before.system < 0.6
        assert log.read_text().count("places for connections are taken") == 1
        assert "Traceback" not in log.read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
async def test_members_come_in_to_a_program_on_asyncios_own_loop(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with asyncio.timeout(60), limited(PLAIN, log) as (_, port), Flood(port, b""):
        for _ in range(8):
            mgr = luabus.create_socket_mgr(1)
            for _ in range(50):
                stream = mgr.connect("127.0.0.1", port)
                with contextlib.suppress(luabus.LuabusError):
                    await stream.connected()
                    break
                await stream.closed()
            assert await stream.request("refused") > 0
            await mgr.close()
    assert log.read_text().count("\n") <= 2, log.read_text()[:2000]
