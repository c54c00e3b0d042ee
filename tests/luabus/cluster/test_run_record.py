from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from luabus.cluster.run_record import is_of, lives, process_mark, signature


def test_a_process_is_told_from_all_that_had_its_pid() -> None:
    mark = process_mark(os.getpid())
    assert mark
    assert mark == process_mark(os.getpid())
    assert mark != process_mark(1)
    assert lives(os.getpid(), mark)
    assert lives(1, mark) is False


def test_who_ended_lives_no_more_though_nobody_has_asked_for_its_exit_code() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    mark = process_mark(child.pid)
    assert lives(child.pid, mark)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert lives(child.pid, mark) is False
    child.communicate()
    assert lives(child.pid, mark) is False
    assert process_mark(child.pid) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux' own")
def test_of_another_container_nothing_is_known() -> None:
    boot, _, ticks = process_mark(os.getpid()).split(" ")
    assert lives(os.getpid(), f"{boot} pid:[1] {ticks}") is None
    assert lives(os.getpid(), "") is None


def test_a_record_is_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    record = signature(folder)
    assert record["pid"] == os.getpid()
    assert is_of(record, folder)
    shutil.copytree(folder, tmp_path / "b")
    assert not is_of(record, tmp_path / "b")
    assert not is_of(record, tmp_path / "none")
    assert is_of(record, folder.rename(tmp_path / "c"))
