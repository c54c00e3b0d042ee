"""One run of a process, from its spawn to its end, over a fake backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launcher.plan.spec import Kind, LifecycleSettings, ProbeSpec, ProcessSpec, ReadyBy
from launcher.processes.backend import SpawnError, SpawnRequest
from launcher.runtime.log_store import LogStore, ProcessLog
from launcher.supervision.process_run import ProcessRun, RunListener
from tests.support.fake_backend import FakeBackend
from tests.support.fast_time import run_fast
from tests.support.waiting import until

BY_BUS = ProcessSpec(
    "x.1", "x", Kind.SERVICE, ("x",), {}, "/", LifecycleSettings(), ReadyBy.BUS, liveness_timeout=3.0
)
BY_LOG = replace(BY_BUS, ready_by=ReadyBy.PROBE, ready=ProbeSpec("log", "^ready$"))
ALIVE = replace(
    BY_BUS, ready_by=ReadyBy.SPAWN, liveness=ProbeSpec("exec", ("ask", "it"), failure_threshold=1)
)


class Runs:
    """Makes runs, and remembers what they told."""

    def __init__(self, folder: Path) -> None:
        self.logs = LogStore(folder, 10**6, 1)
        self.backend = FakeBackend()
        self.told: list[str] = []

    def make(self, spec: ProcessSpec, probes_run: set[tuple[str, ...]] | None = None) -> ProcessRun:
        listener = RunListener(
            lambda: self.told.append("changed"),
            lambda why: self.told.append(f"unhealthy: {why}"),
            lambda: self.told.append("absent"),
            lambda status, left_behind: self.told.append(f"exited: {status}, {left_behind}"),
            lambda: self.told.append("gone"),
        )
        request = SpawnRequest(spec.argv, {"A": "1"}, "/", nice=5, owner=f"run/{spec.name}")
        return ProcessRun(spec, self.backend, request, self.log, listener, probes_run)

    @property
    def log(self) -> ProcessLog:
        return self.logs.of("x.1")


def play(folder: Path, history: Callable[[Runs], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        runs = Runs(folder)
        await history(runs)
        runs.logs.close()

    run_fast(main())


def test_it_is_ready_when_the_bus_says_so_and_absent_after_a_while(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(BY_BUS)
        assert not run.ready
        run.report(True, absent=False)
        assert run.ready
        run.report(False, absent=True)
        assert not run.ready
        await asyncio.sleep(4.0)
        assert runs.told == ["changed", "changed", "absent"]
        run.excuse("by hand")
        run.report(True, absent=False)
        await asyncio.sleep(10.0)
        assert runs.told[3:] == ["changed"]

    play(tmp_path, history)


def test_a_line_of_output_makes_it_ready(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(BY_LOG)
        await asyncio.sleep(0.1)
        runs.backend["x.1"].say("ready")
        await asyncio.sleep(0.1)
        assert run.ready
        run.close()

    play(tmp_path, history)


def test_a_prompt_without_newline_makes_it_ready(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(replace(BY_LOG, ready=ProbeSpec("log", "^login> $")))
        runs.backend["x.1"].listener.output("out", b"login> ")
        await asyncio.sleep(0.5)
        assert not run.ready
        await asyncio.sleep(1.0)
        assert run.ready
        run.close()

    play(tmp_path, history)


def test_an_exec_probe_is_a_helper_of_the_same_owner(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(ALIVE)
        assert run.ready
        await asyncio.sleep(10.5)
        probe = runs.backend.started[1]
        assert (probe.request.argv, probe.request.owner, probe.request.helper) == (
            ("ask", "it"),
            "run/x.1/1",
            True,
        )
        assert (probe.request.env, probe.request.nice) == ({"A": "1"}, None)
        await asyncio.sleep(2.0)
        assert probe.signals == [9], "it did not end within its time"
        assert runs.told[-1] == "unhealthy: liveness probe failed once: ask did not end within 1 s"
        run.close()

    play(tmp_path, history)


@pytest.mark.parametrize("ran_before", [True, False])
def test_the_program_of_a_probe_that_is_away_for_a_while_fails_nobody(
    tmp_path: Path, ran_before: bool
) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(ALIVE, {("ask", "it")} if ran_before else set())
        runs.backend.error = SpawnError("there is no program 'ask'")
        await asyncio.sleep(30.5)
        failed = ["unhealthy: liveness probe failed once: there is no program 'ask'"]
        assert [told for told in runs.told if told != "changed"] == ([] if ran_before else failed)
        run.close()

    play(tmp_path, history)


def test_its_end_ends_what_watches_it(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(BY_BUS)
        run.report(False, absent=True)
        process = runs.backend["x.1"]
        process.left_behind = [7]
        process.exit(3)
        await asyncio.sleep(10.0)
        process.sweep()
        await asyncio.sleep(0)
        assert not run.alive
        assert runs.told == ["changed", "exited: exit code 3, [7]", "gone"]

    play(tmp_path, history)


def test_what_cannot_be_spawned_is_no_run(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        runs.backend.refusal = "no such program"
        with pytest.raises(SpawnError, match="no such program"):
            runs.make(BY_BUS)

    play(tmp_path, history)


def test_one_that_stands_still_is_missed_by_nobody_and_then_gets_a_whole_interval(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        run = runs.make(BY_BUS)
        run.report(True, absent=False)
        run.report(False, absent=True)
        run.suspend()
        run.report(False, absent=True)
        run.excuse("is away")
        await asyncio.sleep(60.0)
        assert "absent" not in runs.told
        run.go_on()
        await asyncio.sleep(2.9)
        assert "absent" not in runs.told
        await asyncio.sleep(0.2)
        assert "absent" in runs.told
        run.close()

    play(tmp_path, history)


def test_what_nothing_else_shows_to_be_ready_is_when_it_has_lived_for_a_while(tmp_path: Path) -> None:
    spec = replace(BY_BUS, ready_by=ReadyBy.SPAWN, min_uptime=1.0)

    async def history(runs: Runs) -> None:
        brief = runs.make(spec)
        assert str(brief.lacking) == "it counts as ready when it has lived for 1 s"
        await asyncio.sleep(0.9)
        assert not brief.ready
        runs.backend["x.1"].exit(0)
        await asyncio.sleep(0.2)
        assert "changed" not in runs.told
        longer = runs.make(spec)
        await asyncio.sleep(1.1)
        assert (longer.ready, longer.lacking, runs.told[-1]) == (True, None, "changed")
        longer.close()

    play(tmp_path, history)


def test_what_it_lacks_to_be_ready_is_known(tmp_path: Path) -> None:
    async def history(runs: Runs) -> None:
        by_bus, by_log = runs.make(BY_BUS), runs.make(BY_LOG)
        assert by_bus.lacking is None
        by_bus.report(False, absent=True)
        assert str(by_bus.lacking) == "it is registered at no router"
        by_bus.report(True, absent=False)
        assert by_bus.lacking is None
        assert str(by_log.lacking) == 'no line of its output matches "^ready$" yet'
        probed = runs.make(replace(BY_LOG, ready=ProbeSpec("exec", ("ask", "it"))))
        await until(lambda: runs.backend.started[-1].request.helper)
        runs.backend.started[-1].exit(3)
        await until(lambda: str(probed.lacking) == "its readiness probe fails: ask ended with exit code 3")
        for run in (by_bus, by_log, probed):
            run.close()

    play(tmp_path, history)
