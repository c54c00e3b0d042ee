"""`top` over a real cluster, its keys pressed by Textual's pilot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Log, Static, TabbedContent

from launcher.cli.top.app import Question, Top, run_top
from launcher.cli.top.source import Source
from launcher.errors import NotRunning
from tests.launcher.harness import ClusterRun, child
from tests.support.waiting import until

SERVICE = """
import luabus

service = luabus.Service()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    run = ClusterRun(tmp_path_factory.mktemp("top") / "cluster")
    run.module("greeter", SERVICE)
    web = {
        "command": child("say=hello [red]from web", "ready", "wait"),
        "ready": {"log": "ready"},
        "restart": {"backoff": 0.05},
    }
    run.write({"web": web, "greeter": {"run": "greeter:service", "group": 7}})
    run.ok("up", "-d")
    yield run
    run.end()


@asynccontextmanager
async def shown(cluster: ClusterRun) -> AsyncIterator[tuple[Top, Pilot[None]]]:
    app = Top(Source(cluster.file), 0.1)
    async with app.run_test(size=(140, 40)) as pilot:
        await eventually(pilot, lambda: processes(app).row_count)
        yield app, pilot


async def eventually(pilot: Pilot[None], check: Callable[[], Any]) -> None:
    await until(check)
    await pilot.pause()


def processes(app: Top) -> DataTable[str]:
    return app.query_one("#processes", DataTable)


def cell(app: Top, name: str, title: str) -> str:
    return str(processes(app).get_cell(name, title))


async def choose(app: Top, pilot: Pilot[None], name: str) -> None:
    processes(app).move_cursor(row=[key.value for key in processes(app).rows].index(name))
    await pilot.pause()


async def test_it_shows_processes_routes_and_masters(cluster: ClusterRun) -> None:
    async with shown(cluster) as (app, pilot):
        assert [key.value for key in processes(app).rows] == ["router.1", "web.1", "greeter.1"]
        assert "test" in str(app.query_one("#head", Static).render())
        assert "running" in cell(app, "web.1", "STATE")
        routes = app.query_one("#routes", DataTable)
        await eventually(pilot, lambda: routes.row_count)
        assert routes.get_cell("7.1", "NAME") == "greeter.1"
        await pilot.press("tab")
        assert app.query_one("#tabs", TabbedContent).active == "routes-tab"
        assert app.focused is routes
        await pilot.press("tab")
        assert app.focused is processes(app)


async def test_a_kill_is_asked_about_first(cluster: ClusterRun) -> None:
    async with shown(cluster) as (app, pilot):
        await choose(app, pilot, "web.1")
        before = cell(app, "web.1", "PID")
        await pilot.press("k")
        assert isinstance(app.screen, Question)
        await pilot.press("n")
        assert not isinstance(app.screen, Question)
        assert cell(app, "web.1", "PID") == before
        await pilot.press("k", "y")
        await eventually(pilot, lambda: cell(app, "web.1", "PID") not in (before, "-"))
        assert cell(app, "web.1", "LAST EXIT") == "SIGKILL"


async def test_restart_stop_and_start(cluster: ClusterRun) -> None:
    async with shown(cluster) as (app, pilot):
        await choose(app, pilot, "web.1")
        before = cell(app, "web.1", "PID")
        await pilot.press("r")
        await eventually(pilot, lambda: cell(app, "web.1", "PID") not in (before, "-"))
        await pilot.press("s", "y")
        await eventually(pilot, lambda: "exited" in cell(app, "web.1", "STATE"))
        await pilot.press("s")
        await eventually(pilot, lambda: "running" in cell(app, "web.1", "STATE"))


async def test_it_follows_a_log(cluster: ClusterRun) -> None:
    async with shown(cluster) as (app, pilot):
        await choose(app, pilot, "web.1")
        box, log = app.query_one("#log-box"), app.query_one("#log", Log)
        assert not box.display
        await pilot.press("l")
        await eventually(pilot, lambda: any("hello [red]from web" in line for line in log.lines))
        assert box.display
        assert box.region.height > 5
        count = len(log.lines)
        await pilot.press("r")
        await eventually(pilot, lambda: len(log.lines) > count)  # across a restart
        await pilot.press("escape")
        assert not box.display


async def test_the_cursor_stays_when_processes_come_and_go(cluster: ClusterRun) -> None:
    async with shown(cluster) as (app, pilot):
        await choose(app, pilot, "web.1")
        await asyncio.to_thread(cluster.request, "scale", "greeter", 2, {"wait": True})
        await eventually(pilot, lambda: processes(app).row_count == 4)
        assert app._chosen() == "web.1"
        await asyncio.to_thread(cluster.request, "scale", "greeter", 1, {"wait": True})
        await eventually(pilot, lambda: processes(app).row_count == 3)


async def test_a_refusal_is_told(cluster: ClusterRun) -> None:
    async with shown(cluster) as (app, _):
        assert "there is no process" in await app._source.ask("restart", "nobody")


async def test_the_launcher_goes_and_it_says_so(cluster: ClusterRun) -> None:
    """Last in this module."""
    async with shown(cluster) as (app, pilot):
        await asyncio.to_thread(cluster.process_of, "down")
        await eventually(pilot, lambda: "no cluster runs" in str(app.query_one("#head", Static).render()))
        await pilot.press("q")
    assert app.return_code == 0
    with pytest.raises(NotRunning):
        run_top(cluster.file, 1.0)
