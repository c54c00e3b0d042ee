"""What a process is, in words; over a fake backend."""

from __future__ import annotations

from pathlib import Path

from launcher.supervision.sentences import it_is, sentence_of
from launcher.supervision.states import State
from tests.launcher.supervision.world import World, play

SERVICES = """
[services.web]
command = ["web"]
ready = { log = "ready" }
restart = { backoff = 3.0, jitter = 0.0 }
[services.job]
command = ["job"]
[services.app]
command = ["app"]
depends_on = { job = "completed" }
"""


def test_every_state_is_told_in_a_sentence(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        def told(name: str) -> str:
            return str(sentence_of(world[name]))

        await world.supervisor.start()
        await world.reach("job.1", State.RUNNING)
        await world.supervisor.considered()
        assert told("app.1") == "app.1 waits for job.1 to complete"
        world.backend["job.1"].exit(0)
        await world.reach("app.1", State.RUNNING)
        assert (told("job.1"), told("app.1")) == ("job.1 is done", "app.1 is running")
        world.backend["web.1"].exit(1)
        await world.reach("web.1", State.BACKOFF)
        assert told("web.1") == "web.1 waits to be restarted (in 3.0 s)"
        assert str(it_is(world["web.1"])) == "it waits to be restarted (in 3.0 s)"
        await world.operations.stop("web.1", {"by": "ann"})
        assert told("web.1") == "web.1 is stopped"
        await world.operations.pause("app.1", {"by": "ann"})
        assert told("app.1") == "app.1 is paused"

    play(tmp_path, SERVICES, history)
