from __future__ import annotations

import asyncio
import time

import pytest

from luabus.service.hooks import Deadline, Hooks, within


async def test_all_of_a_stage_run_in_order_and_know_that_they_do() -> None:
    hooks = Hooks()
    seen: list[tuple[str, bool]] = []

    async def waits() -> None:
        await asyncio.sleep(0)
        seen.append(("waits", hooks.is_inside()))

    hooks.add("start", waits)
    hooks.add("start", lambda: seen.append(("plain", hooks.is_inside())))
    await hooks.run("start")
    assert seen == [("waits", True), ("plain", True)]
    assert not hooks.is_inside()
    assert (hooks.has("stop"), hooks.has("start", "stop")) == (False, True)


async def test_one_that_runs_is_named() -> None:
    hooks = Hooks()

    async def slow() -> None:
        await asyncio.sleep(1000)

    hooks.add("start", slow)
    task = asyncio.create_task(hooks.run("start"))
    await asyncio.sleep(0)
    assert [name.rsplit(".", 1)[-1] for name in hooks.running] == ["slow (on_start)"]
    task.cancel()
    await asyncio.wait((task,))
    assert hooks.running == []


async def test_what_it_raises_is_raised_within_a_deadline_too() -> None:
    hooks = Hooks()

    async def fails() -> None:
        raise ValueError("no")

    hooks.add("stop", fails)
    for deadline in (None, Deadline(5)):
        with pytest.raises(ValueError, match="no"):
            await hooks.run("stop", deadline)


async def test_what_does_not_end_by_the_deadline_is_cancelled_and_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luabus.service.hooks.MOMENT_S", 0.05)
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("cancelled")

    began = time.monotonic()
    await within(Deadline(0.0), slow(), "the slow one")
    assert 0.04 <= time.monotonic() - began < 2
    assert ended == ["cancelled"]
    assert "the slow one has not ended in time and is cancelled" in caplog.text


def test_a_deadline_leaves_what_is_asked_for_at_least() -> None:
    assert 4 < Deadline(5).left_s() <= 5
    assert (Deadline(0).left_s(), Deadline(0).left_s(1.0)) == (0.0, 1.0)
