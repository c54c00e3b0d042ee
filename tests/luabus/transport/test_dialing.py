from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from luabus.transport.blocking_dialing import dial_blocking
from luabus.transport.dialing import open_connection
from luabus.transport.loops import new_event_loop
from tests.support.names import Names

LOOPS = [asyncio.new_event_loop, new_event_loop]


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Any) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


@pytest.fixture(scope="module", autouse=True)
def libuv_pipe() -> None:
    """With its first loop libuv makes a pipe for signals, and keeps it as long as the process lives."""
    loop = new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("dead", [["127.0.0.2"], ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.4", "127.0.0.5"]])
def test_the_live_address_is_reached_within_the_time_out(loop: Any, dead: list[str], names: Names) -> None:
    names.hosts = [*map(names.dead, dead), "127.0.0.1"]

    async def connect() -> tuple[str, int]:
        async with asyncio.timeout(1.0):
            _, writer = await open_connection("many.test", names.port, 1.0)
            reached: tuple[str, int] = writer.get_extra_info("peername")
            writer.close()
            await writer.wait_closed()
            return reached

    assert run(loop, connect()) == ("127.0.0.1", names.port)
    with dial_blocking("many.test", names.port, 1.0) as sock:
        assert sock.getpeername() == ("127.0.0.1", names.port)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_address_that_refuses_costs_no_time_and_the_reason_is_told_when_all_do(
    loop: Any, names: Names
) -> None:
    names.hosts = ["127.0.0.7", "::1", "127.0.0.8"]

    async def connect(host: str) -> None:
        _, writer = await open_connection(host, names.port)
        writer.close()
        await writer.wait_closed()

    for refuse in (
        lambda: run(loop, connect("many.test")),
        lambda: dial_blocking("many.test", names.port, 5),
    ):
        began = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            refuse()
        assert time.monotonic() - began < 0.2
    names.hosts.append("127.0.0.1")
    run(loop, connect("many.test"))
    run(loop, connect("live.test"))


@pytest.mark.parametrize("loop", LOOPS)
def test_the_loser_is_closed(loop: Any, names: Names) -> None:
    names.hosts = [names.dead("127.0.0.2"), "127.0.0.1"]

    async def connect() -> set[Any]:
        _, writer = await open_connection("many.test", names.port)
        writer.close()
        await writer.wait_closed()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert not run(loop, connect())
