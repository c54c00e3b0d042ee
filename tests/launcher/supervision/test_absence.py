from __future__ import annotations

import asyncio

from launcher.supervision.absence import AbsenceWatch
from tests.support.fast_time import run_fast


def test_it_is_told_once_after_the_time_and_not_when_it_came_back() -> None:
    async def main() -> None:
        told: list[float] = []
        loop = asyncio.get_running_loop()
        watch = AbsenceWatch(3.0, lambda: told.append(loop.time()))
        began = loop.time()
        watch.expect()
        await asyncio.sleep(2.0)
        watch.expect()  # waited for already
        await asyncio.sleep(10.0)
        assert [round(at - began) for at in told] == [3]
        watch.expect()
        watch.forget()
        await asyncio.sleep(10.0)
        assert len(told) == 1

    run_fast(main())


def test_an_excuse_is_the_first_of_its_kind_until_it_came_back() -> None:
    async def main() -> None:
        told: list[str] = []
        watch = AbsenceWatch(3.0, lambda: told.append("absent"))
        assert [watch.excuse(), watch.excuse()] == [True, False]
        await asyncio.sleep(4.0)
        assert told == ["absent"]
        watch.forget()
        assert watch.excuse()
        watch.forget()

    run_fast(main())


def test_without_a_time_nobody_is_waited_for() -> None:
    async def main() -> None:
        told: list[str] = []
        AbsenceWatch(0.0, lambda: told.append("absent")).expect()
        await asyncio.sleep(100.0)
        assert told == []

    run_fast(main())
