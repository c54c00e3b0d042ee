"""One manager that routes between the connections it accepted, and is a client over those that it opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from luabus.errors import RemoteError
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Kind, make_route
from luabus.protocol.hashing import hash_key
from luabus.transport.manager import SocketMgr, create_socket_mgr
from luabus.transport.stream import Stream

ONE, TWO = 0x0002_0001, 0x0002_0002
EVERY_ROUTE = ["target", "hash", "random", "broadcast", "master"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - callbacks of streams, which set no event
            await asyncio.sleep(0)


class Loops:
    """A manager with two connections to itself, `one` and `two`, which are 2.1 and 2.2 (the master)."""

    def __init__(self) -> None:
        self.mgr = create_socket_mgr(10)
        self.log: list[tuple[Any, ...]] = []
        self.accepted: list[Stream] = []
        self.listener = self.mgr.listen("127.0.0.1", 0)
        self.listener.on_accept = self._accept
        self.one, self.two = self._connect("one"), self._connect("two")

    def _accept(self, stream: Stream) -> None:
        self.accepted.append(stream)
        stream.on_call = lambda *args: self._got("accepted", *args)

    def _connect(self, name: str) -> Stream:
        stream = self.mgr.connect("127.0.0.1", self.listener.port)
        stream.on_call = lambda *args: self._got(name, *args)
        stream.on_error = lambda reason: self.log.append((name, reason))
        return stream

    def _got(self, *args: Any) -> Any:
        self.log.append(args)
        if args[1] == "fail":
            raise ValueError("as asked")
        return f"answer of {args[0]}"

    @property
    def connected(self) -> bool:
        return self.one.is_open and self.two.is_open and len(self.accepted) == 2

    def register(self, opened: bool) -> None:
        ports = {stream.peer[1]: stream for stream in self.accepted}
        for service_id, stream in ((ONE, self.one), (TWO, self.two)):
            sock = stream.connection.sock()
            assert sock is not None
            end = stream if opened else ports[sock.getsockname()[1]]
            self.mgr.register(service_id, end.token, is_master=service_id == TWO)

    def forward(self, sender: Stream) -> None:
        """By every route to both; broadcasts leave the sender out."""
        for service_id in (ONE, TWO):
            sender.forward_target(service_id, f"target {service_id}")
        for key in (0, 2):
            sender.forward_hash(key, 2, f"hash {key}")
        for _ in range(20):
            sender.forward_random(2, "random")
        sender.forward_broadcast(2, "broadcast")
        sender.forward_master(2, "master")
        sender.call("done")

    def check(self, sender: str) -> None:
        """What `forward` sent has come to whom it was for."""
        got = [entry for entry in self.log if entry[1] != "random"]
        other = "two" if sender == "one" else "one"
        assert sorted(got) == sorted(
            [
                ("one", f"target {ONE}"), ("two", f"target {TWO}"), ("one", "hash 0"), ("two", "hash 2"),
                (other, "broadcast"), ("two", "master"), ("accepted", "done"),
            ]
        )  # fmt: skip
        assert {entry[0] for entry in self.log if entry[1] == "random"} == {"one", "two"}
        assert len(self.log) - len(got) == 20


@pytest.fixture
async def loops() -> AsyncIterator[Loops]:
    made = Loops()
    await until(lambda: made.connected)
    yield made
    await made.mgr.close()


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("sender", ["one", "two"])
async def test_a_manager_routes_between_its_connections_to_itself(
    loops: Loops, opened: bool, sender: str
) -> None:
    loops.register(opened)
    loops.forward(getattr(loops, sender))
    await until(lambda: len(loops.log) == 27)
    loops.check(sender)


async def request(stream: Stream, kind: Kind, msg: str, key: int = 0) -> Any:
    destination = TWO if kind is Kind.TARGET else 0
    route = make_route(kind, FLAG_REQUEST | FLAG_META, 0 if destination else 2, destination)
    return await stream.ask(route, key, codec.pack_call(msg, ()), 5.0, lambda: msg)


@pytest.mark.parametrize("opened", [False, True])
async def test_requests_are_answered_both_ways(loops: Loops, opened: bool) -> None:
    loops.register(opened)
    assert await request(loops.one, Kind.TARGET, "m") == "answer of two"
    assert await request(loops.two, Kind.TARGET, "m") == "answer of two"  # to itself
    assert await request(loops.one, Kind.MASTER, "m") == "answer of two"
    assert await request(loops.two, Kind.HASH, "m", hash_key(0)) == "answer of one"
    assert await loops.one.request("m") == "answer of accepted"
    for end in loops.accepted:
        assert str(await end.request("m")).startswith("answer of ")
    with pytest.raises(RemoteError, match="as asked"):
        await request(loops.one, Kind.TARGET, "fail")
    assert not any(stream.outstanding for stream in loops.mgr.streams.values())


@pytest.fixture
def waiting() -> Iterator[Loops]:
    made = Loops()
    yield made
    made.mgr.shutdown()


def test_so_it_is_in_a_program_with_a_loop_of_its_own(waiting: Loops) -> None:
    deadline = time.monotonic() + 10
    while not waiting.connected:
        waiting.mgr.wait(2)
        assert time.monotonic() < deadline
    waiting.register(opened=False)
    waiting.forward(waiting.one)
    while len(waiting.log) < 27:
        waiting.mgr.wait(2)
        assert time.monotonic() < deadline
    waiting.check("one")


async def test_a_process_has_clients_of_its_own_and_is_a_client_elsewhere() -> None:
    top, middle, bottom = SocketMgr(10), SocketMgr(10), SocketMgr(10)
    log: list[tuple[Any, ...]] = []
    accepted: dict[SocketMgr, list[Stream]] = {top: [], middle: []}
    above, below = top.listen("127.0.0.1", 0), middle.listen("127.0.0.1", 0)
    above.on_accept, below.on_accept = accepted[top].append, accepted[middle].append
    try:
        up = middle.connect("127.0.0.1", above.port)
        other = bottom.connect("127.0.0.1", above.port)
        own = [bottom.connect("127.0.0.1", below.port) for _ in range(2)]
        for name, stream in (("up", up), ("other", other), ("own 0", own[0]), ("own 1", own[1])):
            stream.on_call = lambda *args, name=name: log.append((name, *args)) or f"answer of {name}"
            await stream.connected()
        await until(lambda: len(accepted[top]) == len(accepted[middle]) == 2)
        for stream in accepted[middle]:
            middle.register(0x0003_0000 | stream.token, stream.token)
        for instance, opened in ((1, up), (2, other)):
            sock = opened.connection.sock()
            assert sock is not None
            end = next(end for end in accepted[top] if end.peer == sock.getsockname()[:2])
            top.register(0x0002_0000 | instance, end.token)
        # As a client: what the router above sends by any route is delivered, though group 2 has nobody in the table here.
        assert await request(up, Kind.TARGET, "m") == "answer of other"
        assert await other.ask(
            make_route(Kind.TARGET, FLAG_REQUEST | FLAG_META, 0, ONE), 0, codec.pack_call("m", ()), 5.0, lambda: "m"
        ) == "answer of up"  # fmt: skip
        other.forward_broadcast(2, "to all")
        # As a router: its own clients reach each other.
        own[0].forward_broadcast(3, "down here")
        await until(lambda: len(log) == 4)
        assert sorted(log) == [("other", "m"), ("own 1", "down here"), ("up", "m"), ("up", "to all")]
    finally:
        for mgr in (bottom, middle, top):
            await mgr.close()


async def test_a_stream_that_was_opened_to_a_service_may_be_registered_and_its_answers_come_back() -> None:
    router, service, client = SocketMgr(10), SocketMgr(10), SocketMgr(10)
    try:
        at_service = service.listen("127.0.0.1", 0)
        at_service.on_accept = lambda stream: setattr(stream, "on_call", lambda msg: f"{msg}: served")
        at_router = router.listen("127.0.0.1", 0)
        out = router.connect("127.0.0.1", at_service.port)
        out.on_call = lambda msg: f"{msg}: client"
        await out.connected()
        router.register(TWO, out.token)
        caller = client.connect("127.0.0.1", at_router.port)
        assert await request(caller, Kind.TARGET, "m") == "m: served"
        assert await out.request("own") == "own: served"
        assert not any(stream.outstanding for stream in router.streams.values())
    finally:
        for mgr in (client, router, service):
            await mgr.close()
