"""Handlers: found, run in place or by a worker, answered, cancelled, limited; over a real stream."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from typing import Any

import pytest

import luabus
from luabus import codec
from luabus.dispatch import Dispatcher, caller
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
from luabus.frames import FLAG_META, FLAG_REQUEST, Frame, Kind, encode
from luabus.stream import REQUEST_ROUTE
from tests.support.raw import RawPeer
from tests.support.streams import Pair
from tests.support.waiting import until


class Served(Pair):
    """A pair whose server answers from `handlers`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.handlers = Dispatcher("mail.1", **options)

    async def __aenter__(self) -> Served:
        await super().__aenter__()
        self.handlers.serve(self.server)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        await self.handlers.close()
        assert self.handlers.running == 0


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


async def test_a_handler_that_does_not_wait_is_answered_in_place_and_makes_no_task() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def quick(number: int) -> int:
            return number

        await served.client.request("quick", 0)
        before = asyncio.all_tasks()
        seen: set[Any] = set()
        served.handlers.rpc(lambda: len(asyncio.all_tasks() - before), name="new_tasks")
        for number in range(50):
            assert await served.client.request("quick", number) == number
            seen |= asyncio.all_tasks() - before
        assert await served.client.request("new_tasks") == 0
        assert not seen


async def test_a_handler_cannot_tell_that_its_first_step_runs_in_place() -> None:
    """`current_task`, `timeout`, `TaskGroup` and context variables work before and after it waits, and name one task."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    async with Served() as served:

        @served.handlers.rpc
        async def look() -> list[Any]:
            first = asyncio.current_task()
            variable.set("mine")
            async with asyncio.timeout(5):
                async with asyncio.TaskGroup() as group:
                    part = group.create_task(asyncio.sleep(0, "part"))
            assert asyncio.current_task() is first
            return [first is not None, variable.get(), part.result(), int(caller())]

        for _ in range(3):
            assert await served.client.request("look") == [True, "mine", "part", served.client.source]
        assert variable.get() == "unset"


async def test_a_time_out_in_the_first_step_works() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def slow() -> str:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(60)
            except TimeoutError:
                return "timed out"
            return "not"

        assert await served.client.request("slow") == "timed out"


async def test_handlers_start_in_the_order_in_which_their_messages_came() -> None:
    async with Served() as served:
        started: list[int] = []

        @served.handlers.rpc
        async def note(number: int) -> None:
            started.append(number)
            if number % 3 == 0:
                await asyncio.sleep(0.001 * (number % 7))

        for number in range(200):
            served.client.call("note", number)
        served.handlers.rpc(lambda: None, name="last")
        await served.client.request("last")
        assert started == list(range(200))


async def test_a_handler_that_waits_may_finish_after_one_that_started_later() -> None:
    async with Served() as served:
        log: list[str] = []
        go_on = asyncio.Event()

        @served.handlers.rpc
        async def work(name: str, wait: bool) -> None:
            log.append(f"{name} starts")
            if wait:
                await go_on.wait()
            log.append(f"{name} ends")

        first = asyncio.create_task(served.client.request("work", "first", True))
        await until(lambda: log)
        await served.client.request("work", "second", False)
        go_on.set()
        await first
        assert log == ["first starts", "second starts", "second ends", "first ends"]


async def test_each_of_many_waiting_handlers_gets_its_own_answer() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def wait(number: int) -> int:
            await asyncio.sleep(0.001 * (number % 10))
            return number

        assert await asyncio.gather(*(served.client.request("wait", n) for n in range(400))) == list(
            range(400)
        )


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


@pytest.mark.parametrize("text", ["x" * 3_000_000, "no unicode \udcff", ""])
async def test_an_error_travels_whatever_its_text_is_and_ends_no_stream(text: str) -> None:
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


@pytest.mark.parametrize("how", ["plain", "at once", "later"])
async def test_a_handler_that_raises_cancelled_error_by_itself_is_an_error(how: str) -> None:
    async with Served() as served:

        def plain() -> None:
            raise asyncio.CancelledError

        async def fails() -> None:
            if how == "later":
                await asyncio.sleep(0)
            raise asyncio.CancelledError

        served.handlers.rpc(plain if how == "plain" else fails, name="fails")
        served.handlers.rpc(lambda: "fine", name="fine")
        for _ in range(3):
            with pytest.raises(RemoteError, match="CancelledError"):
                await served.client.request("fails")
        assert await served.client.request("fine") == "fine"


@pytest.mark.parametrize("waits_first", [False, True])
@pytest.mark.parametrize("waits_after", [False, True])
async def test_a_handler_that_cancels_itself_is_an_error_and_the_next_one_is_not(
    waits_first: bool, waits_after: bool
) -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def give_up() -> str:
            if waits_first:
                await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            if waits_after:
                await asyncio.sleep(0.01)
            return "not cancelled yet"

        @served.handlers.rpc
        async def fine(number: int) -> int:
            await asyncio.sleep(0)
            return number

        for number in range(5):
            if waits_after:
                with pytest.raises(RemoteError, match="CancelledError"):
                    await served.client.request("give_up", timeout=5.0)
            else:
                assert await served.client.request("give_up", timeout=5.0) == "not cancelled yet"
            assert await served.client.request("fine", number) == number
        assert await asyncio.gather(*(served.client.request("fine", n) for n in range(10))) == list(range(10))
        for number in range(
            5
        ):  # in one chunk: the next handler starts before the loop has seen the cancelling
            served.client.call("give_up")
            assert await served.client.request("fine", number) == number


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
        with pytest.raises(BadArguments, match="double: number: Input should be a valid integer"):
            await served.client.request("double", "four")
        assert await served.client.request("loose", "four") == "four"


def test_a_handler_whose_arguments_cannot_travel_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        Dispatcher().rpc(lambda *, needed: needed, name="bad")


# --- who calls ------------------------------------------------------------------------------------------------


async def test_caller_tells_who_with_which_epoch_trace_and_time_left() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def who() -> list[Any]:
            await asyncio.sleep(0)
            one = caller()
            return [str(one), one.epoch, one.trace, one.stream is served.server, one.remaining_s]

        served.client.clock.offset_ms = 0.0
        name, epoch, trace, stream, left = await served.ask("who", trace=5, epoch=3, timeout=4.0)
        assert (name, epoch, trace, stream) == ("client.1", 3, 5, True)
        assert 3.0 < left <= 4.01


def test_caller_outside_of_a_handler_is_refused() -> None:
    with pytest.raises(Refused, match="has an answer only inside a handler"):
        luabus.caller()


# --- cancelling and deadlines ---------------------------------------------------------------------------------


async def test_a_caller_that_gives_up_cancels_the_handler() -> None:
    async with Served() as served:
        events: asyncio.Queue[str] = asyncio.Queue()

        @served.handlers.rpc
        async def work() -> None:
            events.put_nowait("started")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                events.put_nowait("cancelled")
                raise

        task = asyncio.create_task(served.client.request("work"))
        assert await events.get() == "started"
        task.cancel()
        assert await events.get() == "cancelled"
        await served.handlers.idle()
        assert served.handlers.methods["work"].stats.cancelled == 1
        with pytest.raises(RequestTimeout):
            await served.client.request("work", timeout=0.02)
        assert [await events.get(), await events.get()] == ["started", "cancelled"]


async def test_a_callers_connection_that_ends_cancels_its_handlers_alone() -> None:
    async with Served() as served:
        other, other_server, _, _ = await served.connect()
        served.handlers.serve(other_server)
        events: asyncio.Queue[str] = asyncio.Queue()
        go_on = asyncio.Event()

        @served.handlers.rpc
        async def work(name: str) -> str:
            events.put_nowait("started")
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                events.put_nowait(f"cancelled {name}")
                raise
            return name

        stays = asyncio.create_task(served.client.request("work", "stays"))
        goes = asyncio.create_task(other.request("work", "goes"))
        assert [await events.get(), await events.get()] == ["started", "started"]
        other.close()
        assert await events.get() == "cancelled goes"
        with pytest.raises(luabus.PeerLost):
            await goes
        go_on.set()
        assert await stays == "stays"


async def test_a_handler_that_puts_its_cancelling_off_is_left_to_it_and_nobody_gets_an_answer() -> None:
    async with Served() as served:
        done = asyncio.Event()

        @served.handlers.rpc
        async def stubborn() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                done.set()
            return "too late"

        with pytest.raises(RequestTimeout):
            await served.client.request("stubborn", timeout=0.02)
        await done.wait()
        await served.handlers.idle()
        served.handlers.rpc(lambda: "fine", name="fine")
        assert await served.client.request("fine") == "fine"


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


async def test_workers_are_kept_for_the_next_ones_and_not_without_limit() -> None:
    async with Served() as served:
        go_on = asyncio.Event()
        served.handlers.rpc(go_on.wait, name="wait")
        waiting = [asyncio.create_task(served.client.request("wait")) for _ in range(1000)]
        await until(lambda: served.handlers.running == 1000)
        go_on.set()
        await asyncio.gather(*waiting)
        assert served.handlers.running == 0
        assert len(served.handlers._workers) <= 256


async def test_the_gate_is_asked_before_a_call_of_a_master_is_run() -> None:
    async with Served() as served:
        asked: list[tuple[int, str]] = []

        def gate(kind: int, call: Any) -> Refused | None:
            asked.append((kind, call.method.name))
            return Refused("closed today") if call.method.name == "shut" else None

        async def request(name: str, epoch: int) -> Any:
            body = codec.pack_call(name, ())
            return await served.client.ask(REQUEST_ROUTE, 0, body, 5.0, lambda: name, epoch=epoch)

        served.handlers.gate = gate
        served.handlers.rpc(lambda: 1, name="open")
        served.handlers.rpc(lambda: 1, name="shut")
        assert await request("open", 7) == 1
        with pytest.raises(Refused, match="closed today"):
            await request("shut", 7)
        assert asked == [(Kind.CALL, "open"), (Kind.CALL, "shut")]
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
        assert isinstance(await peer.farewell(), ProtocolError)


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


async def test_closing_ends_what_is_running_and_leaves_no_task() -> None:
    async with Served() as served:
        started, ended = asyncio.Event(), asyncio.Event()

        @served.handlers.rpc
        async def work() -> None:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        task = asyncio.create_task(served.client.request("work"))
        await started.wait()
        await served.handlers.close()
        assert ended.is_set()
        with pytest.raises(RemoteError, match="CancelledError"):
            await task
        gc.collect()
