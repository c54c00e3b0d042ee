"""Steps on single processes, over a fake backend; the operations made of them are in test_operations_histories.py."""

from __future__ import annotations

from pathlib import Path

from launcher.supervision.operation_queue import OperationQueue
from launcher.supervision.operation_steps import RESTARTED, OperationSteps, names_of
from launcher.supervision.states import State
from luabus.messages import Message
from tests.launcher.supervision.world import World, play

WEB = '[services.web]\ncommand = ["web"]\ninstances = 3\nready = { log = "ready" }\n'
NAMES = ["web.1", "web.2", "web.3"]


def test_a_step_is_void_for_one_that_was_preempted_or_is_not_there(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        steps, queue = OperationSteps(world.supervisor), OperationQueue()
        started = len(world.backend.started)
        overtaken = queue.enqueue("web.1")
        queue.preempt("web.1", RESTARTED)
        assert await steps.restart_one(overtaken) == RESTARTED
        missing = await steps.start_one(queue.enqueue("web.9"))
        assert missing is not None
        assert missing.code == "report.was-removed-meanwhile"
        assert len(world.backend.started) == started

    play(tmp_path, WEB, history)


def test_what_was_stopped_by_hand_is_not_renewed(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        steps, queue = OperationSteps(world.supervisor), OperationQueue()
        assert await steps.stop_one(queue.enqueue("web.1"), RESTARTED) is None
        assert await steps.renew_one(queue.enqueue("web.1")) is None
        assert await steps.renew_one(queue.enqueue("web.2")) is None
        assert (world["web.1"].state, world["web.2"].machine.restarts) == (State.EXITED, 1)

    play(tmp_path, WEB, history)


def test_one_after_the_other_until_one_fails(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        steps, queue = OperationSteps(world.supervisor), OperationQueue()
        turns = [queue.enqueue(name) for name in NAMES]
        assert names_of(turns) == NAMES
        world.late.add("web.2")
        failures = await steps.rolling("restart", turns, steps.restart_one)
        assert failures[0].code == "report.did-not-come-up"
        assert failures[1] == Message("report.not-touched", names=["web.3"])

    play(tmp_path, WEB, history)
