"""Real processes and their trees: ended, signalled, measured, and gone only when all that they started is."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Sequence

import pytest

from launcher.processes import process_tree
from launcher.processes.backend import SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.local import LocalBackend
from launcher.processes.process_tree import MARKER
from tests.launcher.harness import alive, child

LEAVES_ONE = ("sh", "-c", "sleep 1000 & echo $!")


class Ears:
    """A listener whose news can be waited for."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.text = b""
        self.spoke = asyncio.Event()
        self.status: asyncio.Future[tuple[ExitStatus, list[int]]] = loop.create_future()
        self.nothing_left = asyncio.Event()

    def output(self, stream: str, chunk: bytes) -> None:
        self.text += chunk
        self.spoke.set()

    def exited(self, status: ExitStatus, left_behind: Sequence[int]) -> None:
        self.status.set_result((status, list(left_behind)))

    def gone(self) -> None:
        self.nothing_left.set()


@pytest.fixture
async def backend() -> AsyncIterator[LocalBackend]:
    made = LocalBackend(adopt=False)
    made.open()
    yield made
    made.close()


def request(*argv: str, owner: str = "", helper: bool = False) -> SpawnRequest:
    return SpawnRequest(argv, {"PATH": os.environ["PATH"]}, "/", owner=owner, helper=helper)


async def test_an_end_without_anything_left(backend: LocalBackend) -> None:
    ears = Ears()
    handle = backend.spawn(request(*child("say=hello", f"env={MARKER}", "exit=3"), owner="run/x.1"), ears)
    status, left_behind = await asyncio.wait_for(ears.status, 10)
    assert (status.code, left_behind) == (3, [])
    assert ears.text.decode().splitlines() == ["hello", f"{MARKER}=run/x.1"]
    with pytest.raises(ProcessLookupError):
        handle.signal(signal.SIGTERM)
    assert handle.usage().rss_bytes == 0


async def test_what_it_left_behind_is_told_asked_and_killed(backend: LocalBackend) -> None:
    ears = Ears()
    handle = backend.spawn(request(*LEAVES_ONE), ears)
    _, left_behind = await asyncio.wait_for(ears.status, 10)
    assert left_behind == [int(ears.text)]
    handle.terminate(signal.SIGURG)  # which it ignores
    assert alive(left_behind[0])
    handle.kill_all()
    await asyncio.wait_for(ears.nothing_left.wait(), 10)
    assert not alive(left_behind[0])


async def test_nothing_is_left_of_a_helper(backend: LocalBackend) -> None:
    ears = Ears()
    handle = backend.spawn(request(*LEAVES_ONE, owner="run/x.1/1", helper=True), ears)
    status, left_behind = await asyncio.wait_for(ears.status, 10)
    handle.close()
    assert (status.code, left_behind) == (0, [])
    async with asyncio.timeout(10):
        while alive(int(ears.text)):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_the_stop_signal_may_be_for_the_process_alone(backend: LocalBackend) -> None:
    ears = Ears()
    handle = backend.spawn(request("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & echo $!; wait"), ears)
    await asyncio.wait_for(ears.spoke.wait(), 10)
    handle.terminate(signal.SIGTERM, group=False)
    status, left_behind = await asyncio.wait_for(ears.status, 10)
    assert (status.code, left_behind) == (0, [int(ears.text)])
    handle.kill_all()
    await asyncio.wait_for(ears.nothing_left.wait(), 10)


async def test_its_whole_family_is_measured(backend: LocalBackend) -> None:
    ears = Ears()
    grown = " ".join(child("grow=50000000", "say=up", "wait"))
    handle = backend.spawn(request("sh", "-c", f"{grown}; echo over"), ears)
    await asyncio.wait_for(ears.spoke.wait(), 10)
    usage = handle.usage()
    assert usage.rss_bytes > 50_000_000
    assert usage.threads >= 2
    assert usage.open_files > 3
    handle.kill_all()
    await asyncio.wait_for(ears.status, 10)


async def test_when_nobody_can_look_a_group_is_ended_all_the_same(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> dict[int, process_tree.ProcessInfo]:
        raise OSError(errno.EMFILE, "Too many open files")

    ears = Ears()
    handle = backend.spawn(request(*LEAVES_ONE), ears)
    with monkeypatch.context() as patch:
        patch.setattr(process_tree, "look", look)
        patch.setattr(process_tree, "started_at", lambda pid: None)
        assert handle.usage().rss_bytes == 0
        _, left_behind = await asyncio.wait_for(ears.status, 10)
        assert left_behind == [handle.identity.pid]
        handle.kill_all()
        await asyncio.wait_for(ears.nothing_left.wait(), 10)
    assert not alive(int(ears.text))


async def test_a_stopped_process_hears_that_it_shall_end(backend: LocalBackend) -> None:
    ears = Ears()
    handle = backend.spawn(request(*child("say=up", "wait")), ears)
    await asyncio.wait_for(ears.spoke.wait(), 10)
    assert handle.usage().rss_bytes > 0
    assert handle.identity.started is not None
    handle.signal(signal.SIGSTOP)
    handle.terminate(signal.SIGTERM)
    status, _ = await asyncio.wait_for(ears.status, 10)
    assert str(status) == "SIGTERM"


async def test_what_stands_still_in_a_group_of_its_own_hears_it_too(backend: LocalBackend) -> None:
    ears = Ears()
    handle = backend.spawn(request(*child("regroup", "say=up", "wait")), ears)
    await asyncio.wait_for(ears.spoke.wait(), 10)
    handle.terminate(signal.SIGTERM)
    _, left_behind = await asyncio.wait_for(ears.status, 10)
    (left,) = left_behind
    os.kill(left, signal.SIGSTOP)
    handle.terminate(signal.SIGTERM)
    await asyncio.wait_for(ears.nothing_left.wait(), 10)
    assert not alive(left)


async def test_where_nobody_is_adopted_there_are_no_strays(backend: LocalBackend) -> None:
    assert list(await backend.end_strays(1.0)) == []
