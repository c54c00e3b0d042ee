from __future__ import annotations

import asyncio

from luabus.service.finish import Finish


async def test_any_thread_may_ask_and_the_first_error_stays() -> None:
    finish = Finish()
    finish.ask(ValueError("before anybody serves: nothing happens"))
    finish.begin()
    assert not finish.is_asked()
    first = SystemExit(7)
    await asyncio.to_thread(finish.ask, first)
    await finish.asked()
    finish.ask(ValueError("another"))
    assert finish.error is first
    finish.begin()
    assert (finish.is_asked(), finish.error) == (False, None)


def test_nothing_happens_when_its_loop_has_ended() -> None:
    finish = Finish()

    async def main() -> None:
        finish.begin()

    asyncio.run(main())
    finish.ask()
