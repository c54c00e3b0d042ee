"""Event histories without any process: a fake backend and a time that flies."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from launcher.processes.backend import SpawnError
from launcher.supervision.states import State
from tests.launcher.supervision.world import World, play

WEB = """
[services.web]
command = ["web"]
ready = { log = "ready" }
restart = { backoff = 1.0, backoff_factor = 2.0, jitter = 0.0, stop_timeout = 5.0, crash_limit = 3 }
"""
CHAIN = """
[services.front]
command = ["front"]
depends_on = ["middle"]
[services.middle]
command = ["middle"]
depends_on = ["back"]
ready = { log = "ready" }
[services.back]
command = ["back"]
ready = { log = "ready" }
"""
MAIL = """
[services.mail]
run = "mail:service"
group = 2
liveness_timeout = 3.0
restart = { backoff = 1.0, jitter = 0.0 }
"""


def test_a_crash_is_followed_by_the_back_off_and_a_fresh_process(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        first = world.backend["web.1"]
        first.exit(4)
        await world.reach("web.1", State.BACKOFF)
        began = world.now
        assert world["web.1"].last_exit is not None
        assert (world["web.1"].pid, world["web.1"].last_exit["code"]) == (None, 4)
        await world.reach("web.1", State.RUNNING)
        assert world.now - began == pytest.approx(1.0, abs=0.1)
        assert world["web.1"].pid == world.backend["web.1"].pid != first.pid

    play(tmp_path, WEB, history)


def test_the_back_off_grows_until_it_is_given_up(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        waits = []
        for _ in range(2):
            world.backend["web.1"].exit(1)
            await world.reach("web.1", State.BACKOFF)
            began = world.now
            await world.reach("web.1", State.RUNNING)
            waits.append(world.now - began)
        assert waits == pytest.approx([1.0, 2.0], abs=0.1)
        world.backend["web.1"].exit(1)
        await world.reach("web.1", State.FAILED)
        assert "given up" in str(world["web.1"].machine.detail)

    play(tmp_path, WEB, history)


def test_what_never_could_be_started_has_failed_and_says_why(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        world.backend.refusals["web.1"] = SpawnError("there is no such program")
        await world.supervisor.start()
        await world.reach("web.1", State.FAILED)
        assert str(world["web.1"].machine.detail) == "there is no such program"

    play(tmp_path, WEB, history)


def test_what_was_up_waits_until_its_program_is_back(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        world.backend.refusals["web.1"] = SpawnError("there is no such program")
        world.backend["web.1"].exit(1)
        await world.reach("web.1", State.BACKOFF)
        await world.reach("web.1", State.STARTING)
        await world.reach("web.1", State.BACKOFF)
        assert "there is no such program; starts again in" in str(world["web.1"].machine.detail)
        del world.backend.refusals["web.1"]
        await world.reach("web.1", State.RUNNING)

    play(tmp_path, WEB, history)


def test_a_machine_without_memory_is_waited_for_at_the_first_start_too(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        world.backend.refusals["web.1"] = SpawnError("Cannot allocate memory", passing=True)
        await world.supervisor.start()
        for _ in range(10):  # more than any limit
            await world.reach("web.1", State.BACKOFF)
            await world.reach("web.1", State.STARTING)
        del world.backend.refusals["web.1"]
        await world.reach("web.1", State.RUNNING)
        assert world["web.1"].machine.restarts_left(world.now) > 0

    play(tmp_path, WEB, history)


def test_one_that_is_not_ready_in_time_is_replaced(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        world.late.add("web.1")
        await world.up()
        await world.reach("web.1", State.BACKOFF)
        assert world.now - world["web.1"].spawned_at == pytest.approx(30.0, abs=0.1)
        assert "not ready within 30 s" in str(world["web.1"].machine.detail)
        world.late.clear()
        await world.reach("web.1", State.RUNNING)

    play(tmp_path, WEB, history)


def test_what_does_not_stop_is_killed_after_the_stop_timeout(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        process = world.backend["web.1"]
        process.ignores = frozenset({signal.SIGTERM, signal.SIGCONT})
        began = world.now
        world["web.1"].stop()
        await world.reach("web.1", State.EXITED)
        assert world.now - began == pytest.approx(5.0, abs=0.1)
        assert process.signals == [signal.SIGTERM, signal.SIGKILL]

    play(tmp_path, WEB, history)


def test_it_is_over_only_when_what_it_left_behind_is(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        process = world.backend["web.1"]
        process.left_behind = [77, 78]
        process.exit(0)
        await world.reach("web.1", State.STOPPING)
        assert "ending 2 processes it left behind" in str(world["web.1"].machine.detail)
        assert (world["web.1"].pid, process.signals) == (None, [signal.SIGTERM])
        process.sweep()
        await world.reach("web.1", State.EXITED)

    play(tmp_path, WEB, history)


def test_each_starts_after_and_stops_before_what_it_depends_on(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        assert [process.name for process in world.backend.started] == [
            "router.1", "back.1", "middle.1", "front.1",
        ]  # fmt: skip
        world.supervisor.stop("enough")
        assert await world.supervisor.stopped() == 0
        assert [change for change in world.history if change.endswith("exited")] == [
            "front.1: exited", "middle.1: exited", "back.1: exited", "router.1: exited",
        ]  # fmt: skip

    play(tmp_path, CHAIN, history)


def test_in_a_hurry_nobody_is_waited_for(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        for process in world.backend.started:
            process.ignores = frozenset({signal.SIGTERM})
        began = world.now
        world.supervisor.kill_now()
        await world.supervisor.stopped()
        assert world.now - began < 0.1
        assert world.backend.alive == []

    play(tmp_path, CHAIN, history)


def test_an_essential_service_that_has_failed_ends_the_cluster(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        world.backend["heart.1"].exit(1)
        assert await world.supervisor.stopped() == 1
        assert "heart.1 is essential and has failed" in str(world.supervisor.why_stopped)
        assert world.backend.alive == []

    play(
        tmp_path,
        '[services.heart]\ncommand = ["heart"]\nessential = true\nrestart = { policy = "never" }\n',
        history,
    )


def test_one_that_lost_its_way_to_the_routers_is_replaced(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        first, began = world.backend["mail.1"], world.now
        world.bus.register("2.1", 0)
        await world.reach("mail.1", State.BACKOFF)
        assert world.now - began == pytest.approx(3.0, abs=0.1)
        assert "on no router for 3 s" in str(world["mail.1"].machine.detail)
        assert not first.alive
        await world.reach("mail.1", State.RUNNING)

    play(tmp_path, MAIL, history)


def test_one_that_was_taken_out_by_hand_is_left_alone(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        world.bus.open_connections.add("2.1")
        world.bus.register("2.1", 0)
        await asyncio.sleep(10.0)
        assert (world.states["mail.1"], world["mail.1"].ready) == ("running", False)
        world.bus.open_connections.clear()  # now it is lost, indeed
        await world.reach("mail.1", State.BACKOFF)

    play(tmp_path, MAIL, history)


def test_too_much_memory_is_a_reason_to_replace_it(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        world.backend["fat.1"].rss_bytes = 2_000_000
        await world.reach("fat.1", State.BACKOFF)
        assert "exceeds max_rss" in str(world["fat.1"].machine.detail)

    play(tmp_path, '[services.fat]\ncommand = ["fat"]\nmax_rss = 1000000\n', history)


def test_processes_are_recorded_as_they_start(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        run, recorded = world.supervisor.run_dir.read_processes()
        assert run == world.supervisor.run_id
        assert recorded == [(process.pid, float(process.pid)) for process in world.backend.started]

    play(tmp_path, WEB, history)
