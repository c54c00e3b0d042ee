"""For every test: the event loop, and the proof that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_ports
from tests.support.remains import Before, kill_left, left

HERE = Path(__file__).parent

LONG_FIRST = ("e2e", "benchmarks", "dashboard", "launcher", "luabus/router", "luabus/lease")
"""Folders whose files take longest. They come first, and the files beside this one before them: else, in a run of several
processes, the last of them would go on alone."""

# How long sockets and processes that were told to close may take to be gone.
SETTLE_S = 3.0


def pytest_configure() -> None:
    """A cluster in whose shell the tests are run does not reach into them."""
    for name in [name for name in os.environ if name.startswith("LUABUS_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The same order in every process of a run."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    place = item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else ""
    if "/" not in place:
        return 0
    return next(
        (n for n, folder in enumerate(LONG_FIRST, 1) if place.startswith(f"{folder}/")), len(LONG_FIRST) + 1
    )


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop where it runs, as in the programs; a test of both says `@pytest.mark.asyncio(loop_factories=[...])`."""
    try:
        import uvloop
    except ImportError:
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def nothing_remains(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set up before every other fixture of the test, and so the last to look."""
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("nothing_remains_in_the_loop")
        yield
        return
    before = Before()
    yield
    before.restore()
    deadline = time.monotonic() + SETTLE_S
    while (remains := left(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    _say(before, remains)


@pytest.fixture
async def nothing_remains_in_the_loop() -> AsyncIterator[None]:
    before = Before()
    yield
    before.restore()
    deadline = time.monotonic() + SETTLE_S
    while (remains := left(before)) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # nothing tells when a kernel or another process is done: we look
    _say(before, remains)


def _say(before: Before, remains: list[str]) -> None:
    if remains:
        kill_left(before)
        pytest.fail("the test left behind:\n  " + "\n  ".join(remains), pytrace=False)


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nobody uses."""
    return free_ports()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI=true a skipped test is a failure: what was not run was not shown."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None:
        skipped = [*reporter.stats.get("skipped", ()), *reporter.stats.get("xfailed", ())]
        if skipped and session.exitstatus == pytest.ExitCode.OK:
            reporter.write_line(
                f"\nCI: no test may be skipped or expected to fail; {len(skipped)} were", red=True
            )
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
