from __future__ import annotations

import asyncio
from contextlib import ExitStack

from luabus.service.finish import Finish


async def test_any_thread_may_ask_and_the_first_error_stays() -> None:
    finish = Finish()
    finish.ask(ValueError("before anybody serves: nothing happens"))
    first = SystemExit(7)
    with finish.expected():
        assert (finish.is_expected, finish.is_asked()) == (True, False)
        await asyncio.to_thread(finish.ask, first)
        await finish.asked()
        finish.ask(ValueError("another"))
    assert finish.error is first
    assert not finish.is_expected
    with finish.expected():
        assert (finish.is_asked(), finish.error) == (False, None)


def test_nothing_happens_when_its_loop_has_ended() -> None:
    finish = Finish()

    async def main() -> None:
        block.enter_context(finish.expected())

    with ExitStack() as block:
        asyncio.run(main())
        finish.ask()
