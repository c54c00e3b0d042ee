"""Handlers: found, answered, limited; bodies that cannot be read; over a real stream."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

import luabus
from luabus.errors import (
    BadArguments,
    ConfigError,
    NoRoute,
    Overloaded,
    ProtocolError,
    Refused,
    RemoteError,
    RequestTimeout,
    UnknownMethod,
)
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, Frame, Kind, encode, make_route
from luabus.rpc.dispatcher import Dispatcher
from tests.support.raw import RawPeer
from tests.support.streams import Served
from tests.support.waiting import until

# --- answering ------------------------------------------------------------------------------------------------


async def test_plain_and_async_handlers_answer() -> None:
    async with Served() as served:

        @served.handlers.rpc
        def add(a: int, b: int) -> int:
            return a + b

        @served.handlers.rpc(name="later")
        async def add_later(a: int, b: int) -> int:
            await asyncio.sleep(0)
            return a + b

        assert await served.client.request("add", 1, 2) == 3
        assert await served.client.request("later", 1, 2) == 3
        assert add(3, 4) == 7  # it is still the function it was


# --- failing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["plain", "at once", "later"])
async def test_an_exception_is_a_remote_error_with_type_message_and_traceback(how: str) -> None:
    async with Served() as served:

        def fails() -> None:
            raise ValueError("no such account")

        async def fails_later() -> None:
            if how == "later":
                await asyncio.sleep(0)
            fails()

        served.handlers.rpc(fails if how == "plain" else fails_later, name="fails")
        with pytest.raises(
            RemoteError, match=r"fails at mail\.1 raised ValueError: no such account"
        ) as caught:
            await served.client.request("fails")
        error = caught.value
        assert (error.type, error.text, error.method) == ("ValueError", "no such account", "fails")
        assert 'raise ValueError("no such account")' in error.traceback
        assert served.handlers.methods["fails"].stats.errors == 1


async def test_a_luabus_error_of_a_handler_is_the_same_error_at_the_caller() -> None:
    async with Served() as served:

        @served.handlers.rpc
        def refuse() -> None:
            raise Refused("not on Sundays")

        @served.handlers.rpc
        def nested() -> None:
            raise NoRoute("nobody", route=luabus.ServiceId.of(2, 9))

        with pytest.raises(Refused, match="not on Sundays"):
            await served.client.request("refuse")
        with pytest.raises(NoRoute):
            await served.client.request("nested")


@pytest.mark.parametrize(
    "text", ["x" * 3_000_000, "no unicode \udcff", ""], ids=["long", "no unicode", "none"]
)
async def test_an_error_travels_whatever_its_text_is_and_ends_no_stream(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(
        logging.CRITICAL, logger="luabus"
    )  # a log that is no unicode cannot be sent to pytest-xdist
    async with Served() as served:

        @served.handlers.rpc
        def fails() -> None:
            raise ValueError(text)

        @served.handlers.rpc
        def refuses() -> None:
            raise Refused(text)

        for method, kind in (("fails", RemoteError), ("refuses", Refused)):
            with pytest.raises(kind):
                await served.client.request(method)
        assert served.client.is_open


@pytest.mark.parametrize("result", [object(), {1, 2}, bytes(2_000_000)])
async def test_a_result_that_cannot_be_sent_is_a_remote_error_that_says_so(result: object) -> None:
    async with Served() as served:
        served.handlers.rpc(lambda: result, name="give")
        with pytest.raises(RemoteError, match="give returned what cannot be sent: "):
            await served.client.request("give")
        assert served.client.is_open


async def test_an_unknown_method_and_arguments_that_do_not_fit() -> None:
    async with Served() as served:

        @served.handlers.rpc
        def send_mail(account: str, title: str = "") -> None: ...

        with pytest.raises(
            UnknownMethod, match=r"mail\.1 has no method 'sendmail'; did you mean 'send_mail'\?"
        ):
            await served.client.request("sendmail")
        with pytest.raises(BadArguments, match="missing: account"):
            await served.client.request("send_mail")
        with pytest.raises(BadArguments, match="2 is the most it takes"):
            await served.client.request("send_mail", 1, 2, 3)
        served.client.call("sendmail")
        served.client.call("send_mail")
        with pytest.raises(BadArguments):
            await served.client.request("send_mail")
        assert served.handlers.dropped == {"unknown method": 1, "BadArguments": 1}


async def test_types_are_checked_where_the_service_asks_for_it() -> None:
    async with Served(check_types=True) as served:

        @served.handlers.rpc
        async def double(number: int) -> int:
            return number * 2

        @served.handlers.rpc(check_types=False)
        def loose(number: int) -> Any:
            return number

        assert await served.client.request("double", 4) == 8
        with pytest.raises(BadArguments, match="double: number should be a valid integer"):
            await served.client.request("double", "four")
        assert await served.client.request("loose", "four") == "four"


def test_a_handler_whose_arguments_cannot_travel_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        Dispatcher().rpc(lambda *, needed: needed, name="bad")


# --- cancelling and deadlines ---------------------------------------------------------------------------------


async def test_a_request_whose_deadline_has_passed_is_not_started() -> None:
    async with Served() as served, await RawPeer.open(served.listener.port) as peer:
        served.handlers.serve(served.server_mgr.streams[2])
        started: list[int] = []
        served.handlers.rpc(lambda: started.append(1), name="work")
        now_ms = int(time.monotonic() * 1000)
        for sequence, ago_ms in ((1, 250), (2, -10_000)):
            peer.call(
                "work",
                sequence=sequence,
                flags=FLAG_REQUEST | FLAG_META,
                deadline=now_ms - ago_ms & 0xFFFF_FFFF,
            )
        expired = await peer.answer(1)
        assert isinstance(expired, RequestTimeout)
        assert "work came 0." in str(expired)
        assert "after its deadline and was not started" in str(expired)
        assert await peer.answer(2) is None
        assert started == [1]
        assert served.handlers.methods["work"].stats.expired == 1


# --- limits ---------------------------------------------------------------------------------------------------


async def test_beyond_the_concurrency_limit_requests_are_overloaded_and_one_way_messages_counted() -> None:
    async with Served(max_concurrency=3) as served:
        go_on = asyncio.Event()
        served.handlers.rpc(go_on.wait, name="wait")
        waiting = [asyncio.create_task(served.client.request("wait")) for _ in range(3)]
        await until(lambda: served.handlers.running == 3)
        with pytest.raises(Overloaded, match=r"mail\.1 runs 3 calls already, the most it takes") as caught:
            await served.client.request("wait")
        assert (caught.value.what, caught.value.limit, caught.value.current) == ("running calls", 3, 3)
        served.client.call("wait")
        with pytest.raises(Overloaded):
            await served.client.request("wait")
        assert served.handlers.dropped == {"Overloaded": 1}
        go_on.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await served.client.request("wait") is True


async def test_the_gate_is_asked_before_a_call_of_a_master_is_run() -> None:
    asked: list[tuple[int, str]] = []

    def gate(kind: int, call: Any) -> Refused | None:
        asked.append((kind, call.method.name))
        return Refused("closed today") if call.method.name == "shut" else None

    async with Served(gate=gate) as served:

        async def request(name: str, epoch: int) -> Any:
            body = codec.pack_call(name, ())
            route = make_route(Kind.TARGET, FLAG_REQUEST | FLAG_META)
            return await served.client.ask(route, 0, body, 5.0, lambda: name, epoch=epoch)

        served.handlers.rpc(lambda: 1, name="open")
        served.handlers.rpc(lambda: 1, name="shut")
        assert await request("open", 7) == 1
        with pytest.raises(Refused, match="closed today"):
            await request("shut", 7)
        assert asked == [(Kind.TARGET, "open"), (Kind.TARGET, "shut")]
        assert await request("shut", 0) == 1
        assert len(asked) == 2


# --- bodies that cannot be read -------------------------------------------------------------------------------

ROUTED = Frame(Kind.TARGET, FLAG_REQUEST, 0, 0x0002_0001, source=0xFF00_0009, sequence=4)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x01", b"\x90", b"\x91\x01", b"\xdc\xff\xff" * 1000])
async def test_a_body_of_a_routed_call_that_cannot_be_read_is_its_senders_fault(body: bytes) -> None:
    async with Served() as served, await RawPeer.open(served.listener.port) as router:
        stream = served.server_mgr.streams[2]
        served.handlers.serve(stream)
        router.send(ROUTED._replace(body=body))
        assert isinstance(await router.answer(4), ProtocolError)
        router.send(ROUTED._replace(body=body, flags=0, sequence=0))
        router.send(ROUTED._replace(body=codec.pack_call("nothing", ())))
        assert isinstance(await router.answer(4), UnknownMethod)
        assert served.handlers.dropped == {"undecodable": 1}
        assert stream.is_open


async def test_meta_that_does_not_fit_ends_the_stream_it_came_on() -> None:
    async with Served() as served, await RawPeer.open(served.listener.port) as peer:
        served.handlers.serve(served.server_mgr.streams[2])
        data = bytearray(encode(ROUTED._replace(flags=FLAG_REQUEST | FLAG_META)))
        peer.write((0).to_bytes(4, "little") + bytes(data[4:24]))
        assert isinstance(await peer.decode_bye(), ProtocolError)


# --- counting, closing ----------------------------------------------------------------------------------------


async def test_every_method_counts_calls_errors_and_latencies() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def work(fail: bool = False) -> None:
            await asyncio.sleep(0.002)
            if fail:
                raise ValueError

        for fail in (False, False, True):
            await asyncio.gather(served.client.request("work", fail), return_exceptions=True)
        shown = served.handlers.snapshot()["work"]
        assert (shown["calls"], shown["errors"], shown["running"], sum(shown["buckets"])) == (3, 1, 0, 3)
        assert shown["p50_ms"] >= 1.0
