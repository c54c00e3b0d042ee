"""Who called: what a handler can learn of the call that it handles."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import luabus
from luabus.errors import Refused
from luabus.rpc.context import caller
from tests.support.streams import Served


async def test_caller_tells_who_with_which_epoch_trace_and_time_left() -> None:
    async with Served() as served:

        @served.handlers.rpc
        async def who() -> list[Any]:
            await asyncio.sleep(0)
            one = caller()
            return [str(one), one.epoch, one.trace, one.stream is served.server, one.remaining_s]

        served.client.clock.offset_ms = 0.0
        name, epoch, trace, stream, left = await served.ask("who", trace=5, epoch=3, timeout=4.0)
        assert (name, epoch, trace, stream) == ("client.1", 0, 5, True)  # no router vouches for the epoch
        assert 3.0 < left <= 4.01


def test_caller_outside_of_a_handler_is_refused() -> None:
    with pytest.raises(Refused, match="has an answer only inside a handler"):
        luabus.caller()
