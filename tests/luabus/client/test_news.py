"""A counter, a condition, subscribers."""

from __future__ import annotations

import asyncio

import pytest

from luabus.client.news import News, Observers
from luabus.errors import RequestTimeout


def tell(observers: Observers[...], *args: object) -> None:
    for function in observers:
        function(*args)


def test_observers_are_told_in_their_order_until_they_end_it() -> None:
    observers = Observers[[int]]()
    told: list[tuple[str, int]] = []
    end = observers.subscribe(lambda number: told.append(("first", number)))
    observers.subscribe(lambda number: told.append(("second", number)))
    tell(observers, 1)
    end()
    end()
    tell(observers, 2)
    assert told == [("first", 1), ("second", 1), ("second", 2)]


def test_an_observer_may_end_its_subscription_while_it_is_told() -> None:
    observers = Observers[[]]()
    told: list[str] = []

    def once() -> None:
        told.append("once")
        end()

    end = observers.subscribe(once)
    observers.subscribe(lambda: told.append("always"))
    tell(observers)
    tell(observers)
    assert told == ["once", "always", "always"]


async def test_who_waits_goes_on_with_the_next_news_and_not_at_all_when_there_was_some() -> None:
    news = News()
    since = news.revision
    waiting = asyncio.ensure_future(news.wait(since, None, "never"))
    await asyncio.sleep(0)
    assert not waiting.done()
    news.notify()
    await waiting
    await news.wait(since, 0.0, "there was some")


async def test_no_news_in_time_is_a_time_out() -> None:
    with pytest.raises(RequestTimeout, match="nothing happened"):
        await News().wait(0, 0.01, "nothing happened")
