from __future__ import annotations

from pathlib import Path

from tests.launcher.supervision.world import World, play


def test_a_record_is_what_it_was_at_that_moment(tmp_path: Path) -> None:
    async def history(world: World) -> None:
        before = world["web.1"].record()
        await world.up()
        now = world["web.1"].record()
        assert (before.name, str(before.state), before.wanted) == ("web.1", "exited", False)
        assert (str(now.state), now.ready, now.waiting, now.has_process) == ("running", True, False, True)
        assert now.spawned_at == world["web.1"].spawned_at
        assert now == world["web.1"].record() != before

    play(tmp_path, '[services.web]\ncommand = ["web"]\n', history)
