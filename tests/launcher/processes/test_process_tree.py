"""Who belongs to a process: found by group, session, descent and marker; never somebody else's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.processes import process_tag, process_tree
from launcher.processes.process_tree import Kinship, Marks, ProcessInfo, members
from tests.launcher.harness import alive, child, until


def relative(
    pid: int, parent: int, group: int | None = None, session: int | None = None, zombie: bool = False
) -> ProcessInfo:
    return ProcessInfo(pid, parent, group or pid, session or pid, 1.0, zombie)


def world(*relatives: ProcessInfo) -> dict[int, ProcessInfo]:
    return {one.pid: one for one in relatives}


def test_group_session_and_descendants_belong_to_it() -> None:
    everyone = world(
        relative(10, 1),
        relative(11, 10, 10, 10),
        relative(12, 1, 10, 10),
        relative(13, 1, 13, 10),
        relative(14, 13),
        relative(20, 1),
    )
    assert members(Kinship(everyone), 10, 1.0) == {10, 11, 12, 13, 14}


def test_zombies_are_dead_but_their_children_count() -> None:
    kin = Kinship(world(relative(10, 1, zombie=True), relative(11, 10)))
    assert members(kin, 10, 1.0) == {10, 11}
    assert kin.living(members(kin, 10, 1.0)) == {11}


def test_a_pid_that_went_to_somebody_else_takes_nobody_along() -> None:
    kin = Kinship(world(relative(10, 1), relative(11, 10)))
    assert members(kin, 10, 2.0) == set()
    assert members(kin, 10, None) == {10, 11}


def test_descendants_are_without_the_root() -> None:
    everyone = world(
        relative(10, 1), relative(11, 10), relative(12, 11), relative(13, 11, zombie=True), relative(20, 1)
    )
    assert process_tree.descendants(everyone, 10) == {11, 12}


def test_the_real_system() -> None:
    me = process_tree.look()[os.getpid()]
    assert (me.parent, me.group, me.session) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert me.started == process_tree.started_at(os.getpid())
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert process_tree.started_at(gone.pid) is None
    process_tree.send([gone.pid], signal.SIGTERM)  # nobody there: no matter


def test_a_daemon_is_found_by_its_marker(tmp_path: Path) -> None:
    mark = f"run{os.getpid()}/x"
    file = tmp_path / "pids"
    process = subprocess.Popen(
        [*child(f"pid={file}", "daemon"), "exit=0"],
        env={**os.environ, process_tree.MARKER: mark},
        start_new_session=True,
    )
    process.wait()
    daemon = int(until(lambda: file.read_text().split()[1:], "the daemon wrote its pid")[0])
    until(lambda: process_tree.marker_of(daemon) == mark, "its own program runs")
    assert process_tree.marked(mark.partition("/")[0]) == {daemon}
    assert daemon in members(Kinship(process_tree.look()), process.pid, None, mark, [daemon])
    process_tree.send([daemon], process_tree.KILL)
    until(lambda: not alive(daemon), "it is gone")


def test_marks_are_shared_by_what_one_process_started_and_by_a_run() -> None:
    both = Marks("r/x", process_tag.number("r/x"))
    for one in (both, Marks("r/x"), Marks(tag=process_tag.number("r/x"))):
        assert one.shares(both)
        assert one.of_run("r")
        assert not one.of_run("q")
    for other in (Marks(), Marks("r/y", process_tag.number("r/y")), Marks("q/x", process_tag.number("q/x"))):
        assert not other.shares(both)
    assert not Marks().shares(Marks())


def test_an_orphan_is_its_who_marked_it() -> None:
    marks = {11: Marks("r/x"), 12: Marks(tag=process_tag.number("r/x")), 13: Marks("r/y"), 14: Marks("r/x")}
    kin = Kinship(world(relative(11, 5), relative(12, 5), relative(13, 5), relative(14, 6), relative(15, 12)))

    def read(one: ProcessInfo) -> Marks:
        return marks[one.pid]

    assert members(kin, 10, 1.0, "r/x", kin.children(5), read) == {11, 12, 15}
    assert members(kin, 10, 1.0, "r/x", [99], read) == set()  # gone since


def test_a_look_is_cheap() -> None:
    began = time.perf_counter()
    everyone = process_tree.look()
    assert (time.perf_counter() - began) / len(everyone) < 0.005


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_nobodys_marker(pid: int) -> None:
    assert process_tree.marker_of(pid) is None


def test_a_census_is_shared_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[dict[int, ProcessInfo]] = []

    def look() -> dict[int, ProcessInfo]:
        looks.append(world(relative(10 + len(looks), 1)))
        return looks[-1]

    monkeypatch.setattr(process_tree, "look", look)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    census = process_tree.ProcessTable()
    assert census.kinship() is census.kinship()
    assert census.kinship().everyone is looks[0]
    assert census.kinship(0.0).everyone is looks[1]
    now += 2 * process_tree.LOOK_FRESH_S
    assert census.kinship(1.0).everyone is looks[1]
    assert census.kinship().everyone is looks[2]


def test_orphans_are_told_from_ones_own_children_once_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.getpid()
    monkeypatch.setattr(
        process_tree, "look", lambda: world(relative(11, me), relative(12, me), relative(13, 12))
    )
    census = process_tree.ProcessTable()
    census.kinship()
    assert census.adopted({11}) == [12]
    assert census.adopted(()) == [12]
    census.kinship(0.0)
    assert census.adopted(()) == [11, 12]


def test_a_census_reads_a_marker_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(process_tree, "marker_of", lambda pid: str(read.append(pid)))
    census = process_tree.ProcessTable()
    one = relative(10, 1)
    assert census.marks_of(one) == census.marks_of(one)
    assert read == [10]


async def test_what_is_killed_is_gone_and_what_cannot_be_is_named() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    assert await process_tree.end(lambda: {process.pid} if alive(process.pid) else set(), 10.0) == set()
    assert await process.wait() == -signal.SIGKILL
    assert await process_tree.end(lambda: {process.pid}, 0.05) == {process.pid}
