"""Steps on one process, over a fake backend; what verbs make of them is in test_operations_histories.py."""

from __future__ import annotations

from pathlib import Path

from launcher.supervision.operation_queue import OperationQueue
from launcher.supervision.states import State
from launcher.supervision.steps import REMOVED, STOPPED, Steps
from luabus.messages import Message
from tests.launcher.supervision.world import World, play

WEB = """
[services.web]
command = ["web"]
instances = 2
ready = { log = "ready" }
"""


def test_down_up_and_gone(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        steps, lanes = Steps(world.supervisor), OperationQueue()
        assert await steps.stop(lanes.place("web.1"), Message("process.stopped")) is None
        assert world["web.1"].state is State.EXITED
        assert await steps.start(lanes.place("web.1")) is None
        assert world["web.1"].state is State.RUNNING
        gone = lanes.place("web.9")
        assert await steps.start(gone) == Message(REMOVED, name="web.9")

    play(tmp_path, WEB, history)


def test_what_was_overtaken_is_left_alone(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        await world.up()
        steps, lanes = Steps(world.supervisor), OperationQueue()
        place = lanes.place("web.1")
        lanes.preempt("web.1", Message(STOPPED, name="web.1"))
        assert await steps.restart(place) == Message(STOPPED, name="web.1")
        failures = await steps.rolling("restart", [place, lanes.place("web.2")], steps.restart)
        assert [failure.code for failure in failures] == [STOPPED, "report.not-touched"]
        assert world.states["web.2"] == "running"

    play(tmp_path, WEB, history)
