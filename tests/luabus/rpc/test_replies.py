from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luabus import ServiceId
from luabus.errors import NoRoute, Overloaded, ProtocolError, RemoteError, RequestTimeout, RouterLost
from luabus.protocol import codec
from luabus.rpc.replies import Answer, Count, Gather

ONE, TWO, THREE = (ServiceId.of(2, instance) for instance in (1, 2, 3))


class Asked:
    """A gather, and how often it said that it is done."""

    def __init__(self) -> None:
        self.future: asyncio.Future[dict[ServiceId, Any]] = asyncio.get_running_loop().create_future()
        self.done = 0
        self.gather = Gather(self.future, self.settled, lambda: "broadcast:mail stats")

    def settled(self) -> None:
        self.done += 1

    def reach(self, *ids: int) -> None:
        self.gather.reached(len(ids), codec.pack_value([int(one) for one in ids]))


async def test_answers_of_all_who_were_reached_in_the_order_of_their_ids() -> None:
    asked = Asked()
    asked.reach(ONE, TWO, THREE)
    for one in (THREE, ONE):
        asked.gather.answer(one, f"from {one}")
        assert not asked.future.done()
    asked.gather.answer(TWO, RemoteError("it raised"))
    result = asked.future.result()
    assert list(result) == [ONE, TWO, THREE]
    assert (result[ONE], result[THREE]) == ("from 2.1", "from 2.3")
    assert isinstance(result[TWO], RemoteError)
    assert asked.done == 1


async def test_nobody_there_is_an_empty_result_at_once() -> None:
    asked = Asked()
    asked.reach()
    assert asked.future.result() == {}


async def test_answers_may_come_before_the_router_said_how_many() -> None:
    asked = Asked()
    asked.gather.answer(ONE, 1)
    assert not asked.future.done()
    asked.reach(ONE)
    assert asked.future.result() == {ONE: 1}


async def test_those_who_do_not_answer_in_time_are_named() -> None:
    asked = Asked()
    asked.reach(ONE, TWO)
    asked.gather.answer(TWO, 2)
    asked.gather.expired()
    result = asked.future.result()
    assert result[TWO] == 2
    assert isinstance(result[ONE], RequestTimeout)
    assert "no answer from broadcast:mail stats in time" in str(result[ONE])


async def test_a_router_that_does_not_answer_at_all_is_a_time_out() -> None:
    asked = Asked()
    asked.gather.expired()
    with pytest.raises(RequestTimeout):
        await asked.future


async def test_a_router_that_dies_leaves_the_answers_there_are() -> None:
    asked = Asked()
    asked.reach(ONE, TWO)
    asked.gather.answer(ONE, 1)
    asked.gather.lost(RouterLost("gone"))
    result = asked.future.result()
    assert result[ONE] == 1
    assert isinstance(result[TWO], RouterLost)


async def test_a_router_that_dies_before_it_said_who_was_reached_is_router_lost() -> None:
    asked = Asked()
    asked.gather.lost(RouterLost("gone"))
    with pytest.raises(RouterLost):
        await asked.future


async def test_an_error_of_the_router_is_about_the_whole_request() -> None:
    asked = Asked()
    asked.gather.answer(0, Overloaded("too many"))
    with pytest.raises(Overloaded):
        await asked.future


@pytest.mark.parametrize("body", [b"\xc1", b"\x01", b"\xc0", b"\x91\xa1x"])
async def test_a_reached_frame_that_is_no_list_of_ids_is_a_protocol_error(body: bytes) -> None:
    asked = Asked()
    asked.gather.reached(1, body)
    with pytest.raises(ProtocolError, match="a REACHED frame without a list of ids"):
        await asked.future


async def test_nothing_happens_to_a_result_nobody_waits_for_any_more() -> None:
    asked = Asked()
    asked.future.cancel()
    asked.reach(ONE)
    asked.gather.answer(ONE, 1)
    asked.gather.expired()
    asked.gather.lost(RouterLost("gone"))


async def test_a_count_is_how_many_were_reached() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settled: list[int] = []
    count = Count(future, lambda: settled.append(1))
    count.reached(3, b"\x90")
    assert (future.result(), settled) == (3, [1])
    count.expired()
    count.lost(RouterLost("gone"))


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda count: count.expired(), RequestTimeout),
        (lambda count: count.lost(RouterLost("gone")), RouterLost),
        (lambda count: count.answer(0, NoRoute("none")), NoRoute),
    ],
)
async def test_a_count_that_does_not_come_says_why(end: Any, error: type[Exception]) -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    end(Count(future, lambda: None))
    with pytest.raises(error):
        await future


def one_answer() -> tuple[asyncio.Future[tuple[ServiceId, Any]], list[bool], Answer]:
    future: asyncio.Future[tuple[ServiceId, Any]] = asyncio.get_running_loop().create_future()
    done: list[bool] = []
    return future, done, Answer(future, lambda: done.append(True), lambda: "random:mail stats")


async def test_one_answer_tells_who_gave_it() -> None:
    future, done, answer = one_answer()
    answer.answer(TWO, "value")
    assert future.result() == (TWO, "value")
    assert done == [True]
    answer.lost(RouterLost("too late to matter"))


async def test_an_error_is_raised_as_it_came() -> None:
    future, _, answer = one_answer()
    error = RemoteError("KeyError: 'x'")
    answer.answer(TWO, error)
    with pytest.raises(RemoteError) as raised:
        future.result()
    assert raised.value is error  # which the session has told who it is of


async def test_one_answer_may_be_an_error_or_never_come() -> None:
    future, done, answer = one_answer()
    answer.answer(0, NoRoute("nobody is there"))
    with pytest.raises(NoRoute):
        future.result()
    assert done == [True]
    late, _, answer = one_answer()
    answer.expired()
    with pytest.raises(RequestTimeout, match="random:mail stats"):
        late.result()
