"""Refusals are told once per second, whatever their number."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from luabus.client.bus import Bus
from luabus.errors import Forbidden, NotConnected
from luabus.service import refusals
from luabus.service.refusals import Refusals


def refused(caller: str, method: str = "purge") -> Forbidden:
    return Forbidden("no", caller=caller, method=method)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(refusals, "TELL_S", 0.0)
    return []


def made(told: list[Any]) -> Refusals:
    stream = SimpleNamespace(call=lambda *words: told.append(words))
    return Refusals(cast(Bus, SimpleNamespace(preferred=stream)))


async def test_the_same_are_one_word(told: list[Any]) -> None:
    counted = made(told)
    for caller in ("gateway", "client", "gateway"):
        counted.note(refused(caller))
    assert told == []
    await asyncio.sleep(0.01)
    assert told == [("luabus.forbade", "gateway", "purge", 2), ("luabus.forbade", "client", "purge", 1)]
    counted.note(refused("client"))
    await asyncio.sleep(0.01)
    assert told[2:] == [("luabus.forbade", "client", "purge", 1)]


async def test_so_many_different_ones_at_most(told: list[Any]) -> None:
    counted = made(told)
    for number in range(1000):
        counted.note(refused(f"caller{number}"))
    await asyncio.sleep(0.01)
    assert len(told) == 100


async def test_nothing_is_told_after_the_end_or_to_nobody(told: list[Any]) -> None:
    counted = made(told)
    counted.note(refused("client"))
    counted.stop()
    alone = Refusals(cast(Bus, SimpleNamespace(preferred=None)))
    alone.note(refused("client"))
    await asyncio.sleep(0.01)
    assert told == []


async def test_a_router_that_goes_in_this_moment_is_no_fault() -> None:
    def gone(*words: Any) -> None:
        raise NotConnected("gone")

    counted = Refusals(cast(Bus, SimpleNamespace(preferred=SimpleNamespace(call=gone))))
    counted._counts[("client", "purge")] = 1
    counted._tell()
    assert counted._counts == {}
