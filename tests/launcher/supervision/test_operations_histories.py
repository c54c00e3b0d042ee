"""What people ask for, on processes that a fake backend makes up, in a time that flies."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from launcher.supervision.record import ByHand
from launcher.supervision.states import State
from luabus.errors import Refused
from tests.launcher.supervision.world import World, play

WHO = {"by": "ann"}
WEB = """
[services.web]
command = ["web"]
instances = 3
ready = { log = "ready" }
restart = { backoff = 1.0, jitter = 0.0, stop_timeout = 5.0 }
"""
HEART = """
[services.heart]
command = ["heart"]
essential = true
ready = { log = "ready" }
restart = { policy = "never" }
"""


def test_a_rolling_restart_has_one_down_at_a_time(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        before = len(world.history)
        report = await world.operations.restart("web", WHO)
        assert (report["ok"], report["processes"]) == (
            True,
            dict.fromkeys(["web.1", "web.2", "web.3"], "running"),
        )
        steps = ("stopping", "starting", "running")
        assert world.history[before:] == [f"web.{n}: {step}" for n in (1, 2, 3) for step in steps]

    play(tmp_path, WEB, history)


def test_a_rolling_restart_ends_at_the_first_that_does_not_come_back(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        world.late.add("web.2")
        report = await world.operations.restart("web", WHO)
        assert not report["ok"]
        assert "web.2 did not come up" in report["text"]
        assert "not touched: web.3" in report["text"]
        assert [process.name for process in world.backend.started].count("web.3") == 1

    play(tmp_path, WEB, history)


def test_stop_returns_when_nothing_lives_and_start_when_it_is_ready(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        world.backend["web.2"].ignores = frozenset({signal.SIGTERM})
        began = world.now
        assert (await world.operations.stop("web", WHO))["ok"]
        assert world.now - began == pytest.approx(5.0, abs=0.1)
        assert world.backend.alive == ["router.1"]
        assert (await world.operations.start("web.2", WHO))["processes"] == {"web.2": "running"}
        assert world.states["web.1"] == "exited"

    play(tmp_path, WEB, history)


def test_a_stop_overtakes_a_start_that_waits(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        world.late.add("web.1")
        await world.up()
        starting = asyncio.create_task(world.operations.start("web.1", WHO))
        await asyncio.sleep(1.0)
        assert (await world.operations.stop("web.1", WHO))["ok"]
        report = await starting
        assert (report["ok"], report["text"]) == (False, "web.1 was stopped meanwhile")

    play(tmp_path, WEB, history)


def test_scale_starts_and_stops_at_the_end(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        first = world["web.1"].pid
        assert (await world.operations.scale("web", 1, WHO))["processes"] == {
            "web.2": "removed", "web.3": "removed",
        }  # fmt: skip
        assert (await world.operations.scale("web", 2, WHO))["processes"] == {"web.2": "running"}
        assert world["web.1"].pid == first

    play(tmp_path, WEB, history)


def test_reload_renews_what_changed_and_nothing_else(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        router = world["router.1"].pid
        world.write(WEB.replace('["web"]', '["web", "new"]').replace("instances = 3", "instances = 1"))
        report = await world.operations.reload(False, WHO)
        assert report["ok"], report
        assert world.backend["web.1"].request.argv == ("web", "new")
        assert (world["router.1"].pid, sorted(world.backend.alive)) == (router, ["router.1", "web.1"])

    play(tmp_path, WEB, history)


def test_kill_is_answered_with_what_became_of_it(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        report = await world.operations.kill("web.1", "SIGKILL", WHO, wait=True)
        assert (report["ok"], report["processes"]) == (True, {"web.1": "backoff"})
        world.backend["web.2"].ignores = frozenset({signal.SIGTERM})
        began = world.now
        report = await world.operations.kill("web.2", "TERM", WHO, wait=True)
        assert (report["ok"], report["processes"]) == (True, {"web.2": "running"})
        assert world.now - began == pytest.approx(0.5, abs=0.1)
        with pytest.raises(Refused, match=r"web\.1 has no process: it waits to be restarted"):
            await world.operations.kill("web.1", 9, WHO)

    play(tmp_path, WEB, history)


def test_the_kill_of_an_essential_process_is_answered_before_the_cluster_is_down(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        order: list[str] = []

        async def stopped() -> None:
            assert await world.supervisor.stopped() == 1
            order.append("down")

        async def kill() -> None:
            report = await world.operations.kill("heart.1", "SIGKILL", WHO, wait=True)
            assert (report["ok"], report["processes"]) == (True, {"heart.1": "failed"})
            order.append("answered")

        await asyncio.gather(stopped(), kill())
        assert order == ["answered", "down"]
        assert world["heart.1"].state is State.FAILED

    play(tmp_path, HEART, history)


HUNG = """
[services.web]
command = ["web"]
instances = 2
ready = { log = "ready" }
liveness = { exec = ["check"], period = 1.0, failure_threshold = 2 }
restart = { backoff = 1.0, jitter = 0.0, stop_timeout = 5.0 }

[services.mail]
command = ["mail"]
group = 2
liveness_timeout = 3.0
"""


def test_what_is_paused_is_neither_missed_nor_probed_until_it_goes_on(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        before = len(world.backend.started)
        report = await world.operations.pause(["web.1", "mail"], WHO)
        assert report["processes"] == {"web.1": "paused", "mail.1": "paused"}
        world.bus.register("2.1", 0)  # the routers do not hear of it any more
        await asyncio.sleep(60.0)
        assert [process.name for process in world.backend.started[before:] if process.name == "mail.1"] == []
        assert (world["web.1"].machine.restarts, world["mail.1"].machine.restarts) == (0, 0)
        assert (await world.operations.resume("mail", WHO))["processes"] == {"mail.1": "running"}
        await asyncio.sleep(2.0)
        assert world["mail.1"].machine.restarts == 0
        await asyncio.sleep(5.0)  # it has had its usual time, and did not come back
        assert world["mail.1"].machine.restarts == 1
        assert world["mail.1"].by_hand is None

    play(tmp_path, HUNG, history)


def test_a_judgement_under_way_spares_what_is_paused_meanwhile(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()

        async def answers_late(group: int, instance: int) -> bool:
            await asyncio.sleep(1.0)
            return False

        world.bus.is_connected = answers_late  # type: ignore[method-assign]
        world.bus.register("2.1", 0)
        await asyncio.sleep(3.5)
        await world.operations.pause("mail.1", WHO)
        await asyncio.sleep(60.0)
        assert world.backend["mail.1"].alive
        assert world.states["mail.1"] == "running"

    play(tmp_path, HUNG, history)


def test_a_stop_lets_what_is_paused_end_in_order(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        await world.operations.pause("web.1", WHO)
        began = world.now
        await world.operations.stop("web.1", WHO)
        assert world.now - began < 1.0
        assert world.backend["web.1"].signals == [signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT]
        assert world["web.1"].by_hand == ByHand("stopped", "ann")

    play(tmp_path, WEB, history)


def test_an_end_ends_a_pause_and_so_does_sigcont_from_anywhere(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        await world.operations.pause("web", WHO)
        await world.operations.kill("web.1", "SIGKILL", WHO)
        await world["web.1"].until(lambda: world["web.1"].machine.restarts == 1)
        await world.reach("web.1", State.RUNNING)
        assert world["web.1"].by_hand is None
        await world.operations.kill("web.2", "SIGCONT", WHO)
        assert (world["web.2"].by_hand, world["web.3"].by_hand) == (None, ByHand("paused", "ann"))

    play(tmp_path, WEB, history)


def test_only_what_runs_is_paused_and_only_what_is_paused_resumed(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        await world.operations.stop("web.1", WHO)
        with pytest.raises(Refused, match="cannot be paused: it is stopped"):
            await world.operations.pause("web.1", WHO)
        with pytest.raises(Refused, match=r"web\.2 is not paused: it is running"):
            await world.operations.resume("web.2", WHO)
        assert (await world.operations.pause("web", WHO))["processes"] == {
            "web.2": "paused",
            "web.3": "paused",
        }

    play(tmp_path, WEB, history)
