"""One guard around user code: whatever it raises concerns its own call, over streams served by a dispatcher and plain ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from luabus.errors import BadArguments, LuabusError, ProtocolError, RemoteError
from luabus.exception_text import LONGEST_TRACEBACK
from luabus.transport.loops import on_interrupt
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import CALL_ROUTE, REQUEST_ROUTE
from tests.support.hostile import ERRORS, RESULTS, Abort, Never, chain
from tests.support.loops import BOTH_LOOPS
from tests.support.streams import Pair, Served


@pytest.mark.parametrize("what", ERRORS)
async def test_whatever_a_handler_raises_its_caller_is_told_and_its_neighbours_go_on(what: str) -> None:
    make = ERRORS[what]
    async with Served() as served:
        go_on = asyncio.Event()

        def plain() -> None:
            raise make()

        async def first() -> None:
            raise make()

        async def later() -> None:
            await asyncio.sleep(0)
            raise make()

        async def neighbour() -> str:
            await go_on.wait()
            return "fine"

        for handler in (plain, first, later, neighbour):
            served.handlers.rpc(handler)
        waiting = asyncio.ensure_future(served.client.request("neighbour"))
        for name in ("plain", "first", "later"):
            with pytest.raises(LuabusError) as raised:
                await served.client.request(name, timeout=5)
            assert isinstance(raised.value, RemoteError | type(make()))
            assert isinstance(str(raised.value), str)
            served.client.call(name)
        go_on.set()
        assert await waiting == "fine"
        assert served.handlers.running == 0
        assert not any(served.handlers._workers.awaited.values())


@pytest.mark.parametrize("what", ERRORS)
async def test_whatever_a_plain_streams_callback_raises_its_caller_is_told(what: str) -> None:
    make = ERRORS[what]
    async with Pair() as pair:

        def plain(msg: str) -> None:
            raise make()

        async def later(msg: str) -> None:
            await asyncio.sleep(0)
            raise make()

        for callback in (plain, later):
            pair.server.on_call = callback
            pair.client.call("one way")
            with pytest.raises(LuabusError):
                await pair.client.request("m", timeout=5)
        pair.server.on_call = lambda msg: "fine"
        assert await pair.client.request("m") == "fine"


@pytest.mark.parametrize("what", RESULTS)
async def test_whatever_a_handler_returns_its_caller_is_told(what: str) -> None:
    result = RESULTS[what]
    async with Served() as served:
        served.handlers.rpc(lambda: result, name="give")
        with pytest.raises(RemoteError, match="give returned what cannot be sent: result"):
            await served.client.request("give")
        with pytest.raises(BadArguments, match=r"args\[1\]") as refused:
            served.client.call("give", 1, result)
        assert refused.value.path.startswith("args[1]")
        served.server.receiver = None
        served.server.on_call = lambda msg: result
        with pytest.raises(BadArguments, match="result"):
            await served.client.request("m")
        assert served.client.is_open


async def test_a_handler_may_return_what_is_to_be_awaited() -> None:
    class Later:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "later"

    async with Served() as served:
        loop = asyncio.get_running_loop()

        async def work() -> str:
            await asyncio.sleep(0)
            return "worked"

        async def many() -> Any:
            yield 1

        served.handlers.rpc(lambda: loop.create_task(work()), name="task")
        served.handlers.rpc(lambda: Later(), name="awaitable")
        served.handlers.rpc(many)
        assert await served.client.request("task") == "worked"
        assert await served.client.request("awaitable") == "later"
        with pytest.raises(RemoteError, match="an async generator cannot be sent; collect what it yields"):
            await served.client.request("many")
        served.server.receiver = None
        for callback, answer in (
            (lambda msg: loop.create_task(work()), "worked"),
            (lambda msg: Later(), "later"),
        ):
            served.server.on_call = callback
            assert await served.client.request("m") == answer
        served.server.on_call = lambda msg: many()
        with pytest.raises(RemoteError, match="an async generator"):
            await served.client.request("m")


async def test_whatever_a_hook_raises_the_stream_goes_on() -> None:
    async with Pair() as pair:

        def hook(*args: Any) -> None:
            raise Abort

        pair.listener.on_accept = hook
        pair.server_mgr.streams[pair.server.token].on_call = hook
        pair.client.call("m")
        another = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        another.on_connect = another.on_error = hook
        await another.connected()
        pair.server.on_call = lambda msg: "fine"
        assert await pair.client.request("m") == "fine"


async def test_a_log_record_of_a_long_chain_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async with Served() as served:

        def fails() -> None:
            raise chain(3000)

        served.handlers.rpc(fails)
        served.server_mgr.event(fails)
        with pytest.raises(RemoteError) as raised:
            await served.client.request("fails")
        assert "number 2999" in raised.value.traceback
        assert len(raised.value.traceback) <= LONGEST_TRACEBACK
    texts = [logging.Formatter().format(record) for record in caplog.records]
    assert sum("number 2999" in text for text in texts) == 2
    assert all(len(text) < LONGEST_TRACEBACK + 500 for text in texts)


@pytest.mark.parametrize("kind", [AttributeError, Abort, SystemExit])
async def test_whatever_a_log_handler_raises_the_caller_is_answered_and_the_stream_goes_on(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(record: logging.LogRecord) -> bool:
        raise kind

    handler = logging.Handler()
    handler.addFilter(breaks)
    monkeypatch.setattr(logging.getLogger("luabus"), "handlers", [handler])
    told: list[BaseException] = []
    no_more = on_interrupt(told.append)
    async with Served() as served:

        def fails() -> None:
            raise ValueError("why")

        async def later() -> None:
            await asyncio.sleep(0)
            raise ValueError("why")

        for handler in (fails, later):
            served.handlers.rpc(handler)
        for name in ("fails", "later"):
            with pytest.raises(RemoteError, match="ValueError: why"):
                await served.client.request(name, timeout=5)
        served.server_mgr.event(fails)
        assert served.client.is_open
        assert served.handlers.running == 0
    no_more()
    assert [type(error) for error in told] == ([kind] * 3 if kind is SystemExit else [])


@pytest.mark.parametrize(
    "value", [b"\xc7\x0c\xff" + bytes(4) + b"\x7f" + b"\xff" * 7, b"\x81\x90\x01", b"\xa1\xff"]
)
async def test_one_value_that_cannot_be_had_is_that_messages_error(value: bytes) -> None:
    async with Served() as served:
        served.handlers.rpc(lambda value: value, name="echo")
        body = b"\x92\xa4echo" + value
        for receiver in (served.handlers, None):
            served.server.receiver = receiver
            served.server.on_call = lambda msg, value: value
            served.client.post(CALL_ROUTE, 0, body)
            with pytest.raises(ProtocolError, match="a body that is not msgpack within the limits"):
                await served.client.ask(REQUEST_ROUTE, 0, body, 5, lambda: "echo")
            assert await served.client.request("echo", 1) == 1
        assert served.handlers.dropped == {"undecodable": 1}


async def test_an_error_whose_init_takes_something_else_is_rebuilt_without_it() -> None:
    async with Served() as served:

        def fails() -> None:
            raise Never("ann", 3)

        served.handlers.rpc(fails)
        with pytest.raises(Never, match="ann over 3"):
            await served.client.request("fails")


# --- what ends the process --------------------------------------------------------------------------------------


def _raising(error: BaseException) -> dict[str, Callable[..., Any]]:
    class Text(LuabusError):
        def __str__(self) -> str:
            raise error

    def plain() -> None:
        raise error

    async def first() -> None:
        raise error

    async def later() -> None:
        await asyncio.sleep(0)
        raise error

    def text() -> None:
        raise Text

    return {"plain": plain, "first": first, "later": later, "text": text}


@pytest.mark.parametrize("name", ["plain", "first", "later", "text"])
@pytest.mark.parametrize("error", [SystemExit(7), KeyboardInterrupt()], ids=["exit", "interrupt"])
async def test_who_asked_for_it_is_told_that_the_process_is_to_end_and_the_caller_is_answered(
    name: str, error: BaseException
) -> None:
    told: list[BaseException] = []
    no_more = on_interrupt(told.append)
    try:
        async with Served() as served:
            served.handlers.rpc(_raising(error)[name], name=name)
            with pytest.raises(RemoteError, match=type(error).__name__):
                await served.client.request(name)
            assert told == [error]
            served.server.receiver = None
            served.server.on_call = lambda msg: _raising(error)[name]()
            with pytest.raises(RemoteError, match=type(error).__name__):
                await served.client.request("m")
            assert told == [error, error]
            assert served.client.is_open
    finally:
        no_more()


@pytest.mark.parametrize("name", ["plain", "first", "later", "text"])
@BOTH_LOOPS
def test_where_nobody_asked_it_is_raised_out_of_the_loop_on_both_loops(
    make_loop: Callable[[], asyncio.AbstractEventLoop], name: str
) -> None:
    async def main() -> None:
        async with Served() as served:
            served.handlers.rpc(_raising(SystemExit(7))[name], name=name)
            await asyncio.gather(served.client.request(name), asyncio.sleep(60), return_exceptions=True)

    with pytest.raises(SystemExit, match="7"), asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


def test_a_program_with_a_loop_of_its_own_gets_it_out_of_wait() -> None:
    server, client = SocketMgr(2), SocketMgr(2)
    listener = server.listen("127.0.0.1", 0)

    listener.on_accept = lambda stream: setattr(stream, "on_call", lambda msg: _raising(SystemExit(7))[msg]())
    stream = client.connect("127.0.0.1", listener.port)

    def wait() -> None:
        for _ in range(1000):
            client.wait(1)
            server.wait(1)

    try:
        for name in ("plain", "later"):
            stream.call(name)
            with pytest.raises(SystemExit, match="7"):
                wait()
        assert stream.is_open
    finally:
        client.shutdown()
        server.shutdown()
