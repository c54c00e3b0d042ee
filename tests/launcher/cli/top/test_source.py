"""What `top` looks at, and what it does when it is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from launcher.cli.top.source import Source, require_launcher
from launcher.errors import ConfigError, NotRunning
from tests.launcher.harness import ClusterRun


def test_it_does_not_start_without_a_launcher(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    with pytest.raises(ConfigError):
        require_launcher(file)
    file.write_text("")
    with pytest.raises(NotRunning, match="`luabus-cluster up` starts it"):
        require_launcher(file)


async def test_a_look_and_a_verb_at_once_share_a_connection(steady: ClusterRun) -> None:
    """One too many would be left open, which the check after each test finds."""
    source = Source(steady.file)
    look, said = await asyncio.gather(source.look(), source.ask("restart", "nobody"))
    assert look.status is not None
    assert "there is no process or service" in said
    await source.close()


async def test_without_a_launcher_a_look_says_why(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text("")
    source = Source(file)
    look = await source.look()
    assert look.status is None
    assert "no cluster runs" in look.problem
    assert "no cluster runs" in await source.ask("restart", "web")
    with pytest.raises(NotRunning):
        await source.start()
    await source.close()
