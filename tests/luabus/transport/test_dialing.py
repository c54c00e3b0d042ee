from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from luabus.errors import NotConnected, RequestTimeout
from luabus.transport.blocking import Conversation
from luabus.transport.blocking_dialing import dial_blocking
from luabus.transport.dialing import open_connection
from luabus.transport.loops import new_event_loop
from luabus.transport.manager import SocketMgr
from luabus.transport.resolver import Endpoint, in_turn, look_up, numeric, stagger_s

LOOPS = [asyncio.new_event_loop, new_event_loop]


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Any) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


def listening(stack: ExitStack, host: str, port: int = 0, backlog: int = 16) -> socket.socket:
    sock = stack.enter_context(
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    )
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(backlog)
    return sock


@pytest.fixture(scope="module", autouse=True)
def libuv_pipe() -> None:
    """With its first loop libuv makes a pipe for signals, and keeps it as long as the process lives."""
    loop = new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


class Names:
    """A name whose first addresses drop what comes (a listener whose queue is full), and whose last one lives, if asked for."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.live = listening(stack, "127.0.0.1")
        self.port: int = self.live.getsockname()[1]
        self.hosts: list[str] = []
        self.slow: dict[str, threading.Event] = {}
        self.looked_up: list[str] = []
        real = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            self.looked_up.append(host)
            if host in self.slow:
                self.slow[host].wait(20)
                raise socket.gaierror(socket.EAI_AGAIN, "the resolver was down")
            if host == "live.test":
                return real("127.0.0.1", port, *args, **kwargs)
            if host == "many.test":
                return [row for one in self.hosts for row in real(one, port, *args, **kwargs)]
            return real(host, port, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def dead(self, host: str) -> str:
        """An address that answers nothing at our port."""
        full = listening(self.stack, host, self.port, backlog=0)
        for _ in range(4):
            one = self.stack.enter_context(socket.socket(full.family, socket.SOCK_STREAM))
            one.setblocking(False)
            one.connect_ex(full.getsockname()[:2])
        return host


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    with ExitStack() as stack:
        made = Names(stack, monkeypatch)
        yield made
        for hung in made.slow.values():
            hung.set()


def test_addresses_take_turns_by_family_and_those_that_failed_come_last() -> None:
    v4 = [Endpoint(socket.AF_INET, (f"127.0.0.{n}", 1)) for n in (1, 2, 3)]
    v6 = [Endpoint(socket.AF_INET6, (f"::{n}", 1, 0, 0)) for n in (1, 2)]
    assert in_turn([*v6, *v4]) == [v6[0], v4[0], v6[1], v4[1], v4[2]]
    assert in_turn(v4, {("127.0.0.1", 1)}) == [v4[1], v4[2], v4[0]]
    assert [stagger_s(2, 3.0), stagger_s(2, 0.3), stagger_s(2, None)] == pytest.approx([0.25, 0.1, 0.25])
    assert str(v6[0]) == "[::1]:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_an_address_in_figures_is_not_looked_up(host: str, names: Names) -> None:
    endpoint = numeric(host, 5)
    assert endpoint is not None
    assert endpoint.address[:2] == (host, 5)
    assert names.looked_up == []
    assert [numeric(name, 5) for name in ("localhost", "a:b", "127.1", "::1%nosuch")] == [None] * 4
    loopback = numeric("fe80::1%lo", 5)
    assert loopback is not None
    assert loopback.address == ("fe80::1", 5, 0, socket.if_nametoindex("lo"))


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


def test_the_blocking_client_has_one_time_out_for_all_addresses(names: Names) -> None:
    names.hosts = [names.dead(host) for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4")]
    began = time.monotonic()
    with pytest.raises(RequestTimeout, match=r"many\.test:\d+ did not accept within 0\.4 s"):
        Conversation("many.test", names.port, timeout=0.4)
    names.slow["hung.test"] = threading.Event()
    with pytest.raises(RequestTimeout, match=r"did not accept within 0\.4 s"):
        Conversation("hung.test", names.port, timeout=0.4)
    assert time.monotonic() - began < 1.5
    with pytest.raises(NotConnected):
        Conversation("no such name", names.port, timeout=5)


async def test_a_stream_reaches_the_live_address(names: Names) -> None:
    names.live.close()
    mgr = SocketMgr(8)
    listener = mgr.listen("127.0.0.1", 0)
    names.port = listener.port
    names.hosts = [names.dead("127.0.0.2"), "127.0.0.1"]
    stream = mgr.connect("many.test", names.port, 1000)
    await stream.connected()
    assert stream.ip == "127.0.0.1"
    await mgr.close()


async def test_an_address_that_accepts_and_says_nothing_is_tried_last_the_next_time(names: Names) -> None:
    names.live.close()
    mgr = SocketMgr(8)
    listener = mgr.listen("127.0.0.1", 0)
    listening(names.stack, "127.0.0.2", listener.port)
    names.hosts = ["127.0.0.2", "127.0.0.1"]
    with pytest.raises(RequestTimeout):
        await mgr.connect("many.test", listener.port, 200).connected()
    stream = mgr.connect("many.test", listener.port, 1000)
    await stream.connected()
    assert stream.ip == "127.0.0.1"
    await mgr.close()


async def test_a_resolver_that_hangs_holds_up_nobody_else(names: Names) -> None:
    hung = [f"hung-{n}.test" for n in range(40)]
    names.slow.update({name: threading.Event() for name in hung})
    mgr = SocketMgr(100)
    streams = [mgr.connect(name, names.port, 200) for name in hung for _ in range(2)]
    ends = asyncio.gather(*(stream.connected() for stream in streams), return_exceptions=True)
    began = time.monotonic()
    await asyncio.to_thread(lambda: None)
    _, writer = await open_connection("live.test", names.port)
    writer.close()
    assert time.monotonic() - began < 0.5
    assert {type(end) for end in await ends} == {RequestTimeout}
    with pytest.raises(RequestTimeout):  # the one look-up of that name still is under way
        await mgr.connect(hung[0], names.port, 50).connected()
    assert sorted(name for name in names.looked_up if name in hung) == sorted(hung)
    await mgr.close()


def test_a_failed_look_up_is_not_remembered(names: Names) -> None:
    with pytest.raises(socket.gaierror):
        look_up("no such name", 1).result(5)
    assert look_up("live.test", 1).result(5) == [Endpoint(socket.AF_INET, ("127.0.0.1", 1))]
