"""How far a sender that awaits is ahead of its receivers."""

from __future__ import annotations

import asyncio

import pytest

from luabus.client.flow_control import WINDOW, FlowControl
from luabus.client.routes import SENT
from luabus.errors import RouterLost
from luabus.ids import ServiceId
from luabus.protocol.frames import Kind, make_route
from tests.support.bus import Star
from tests.support.waiting import until

ROUTE = make_route(Kind.TARGET, destination=ServiceId.of(2, 1))


async def test_one_question_for_each_window_and_none_for_who_does_not_await() -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        asked = star.routers[0].api.methods["luabus.room"].stats
        for _ in range(100):
            bus.target("mail.1").send("note", bytes(WINDOW // 10))
        await mail.noted(100)
        assert asked.calls == 0
        for _ in range(100):
            await bus.target("mail.1").send("note", bytes(WINDOW // 10))
        await mail.noted(200)
        assert asked.calls in (9, 10)
        small = bus.target("mail.1").send("note", 1)
        assert small is SENT


async def test_the_answer_is_awaited_with_the_next_question_not_with_its_own() -> None:
    async with Star() as star:
        bus = await star.client()
        stream = bus.preferred
        assert stream is not None
        flow = FlowControl()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        star.routers[0].api.word(lambda route, key: _later(answer), "luabus.room")
        await flow.credit(stream, ROUTE, 0)
        second = asyncio.create_task(flow.credit(stream, ROUTE, 0))
        third = asyncio.create_task(flow.credit(stream, ROUTE, 0))
        await until(lambda: star.routers[0].api.running == 3)
        assert not second.done()
        second.cancel()  # takes nothing from the others
        await asyncio.wait((second,))
        assert not third.done()
        answer.set_result(None)
        await third


async def _later(answer: asyncio.Future[None]) -> None:
    await answer


@pytest.mark.parametrize("how", ["refused", "lost"])
async def test_who_gets_no_answer_goes_on(how: str) -> None:
    async with Star() as star:
        bus = await star.client()
        stream = bus.preferred
        assert stream is not None
        flow = FlowControl()
        if how == "refused":
            await flow.credit(stream, 0xEE, 0)  # no route: the router refuses the question
            await flow.credit(stream, ROUTE, 0)
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        star.routers[0].api.word(lambda route, key: _later(answer), "luabus.room")
        await flow.credit(stream, ROUTE, 0)
        waiting = asyncio.create_task(flow.credit(stream, ROUTE, 0))
        await until(lambda: star.routers[0].api.running == 2)
        stream.end(RouterLost("cut by the test"), abort=True)
        await waiting
        await flow.credit(stream, ROUTE, 0)  # on a stream that is closed
        await flow.credit(stream, ROUTE, 0)
