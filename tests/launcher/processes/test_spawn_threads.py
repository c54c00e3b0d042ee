"""Threads that wait for a process; what both spawners do alike is in test_posix.py."""

from __future__ import annotations

import asyncio

import pytest

from launcher.processes.backend import SpawnError, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.spawn_threads import ThreadSpawner


class Nobody:
    def output(self, stream: str, chunk: bytes) -> None: ...

    def exited(self, status: ExitStatus) -> None: ...


async def test_threads_say_what_they_cannot() -> None:
    spawner = ThreadSpawner(asyncio.get_running_loop())
    with pytest.raises(SpawnError, match="need a POSIX system"):
        spawner.spawn(SpawnRequest(("x",), {}, "/", user="nobody"), Nobody())
    with pytest.raises(SpawnError, match="there is no program 'no-such-program'"):
        spawner.spawn(SpawnRequest(("no-such-program",), {}, "/"), Nobody())


async def test_they_adopt_nobody() -> None:
    spawner = ThreadSpawner(asyncio.get_running_loop())
    assert (spawner.adopts, spawner.strangers()) == (False, None)
