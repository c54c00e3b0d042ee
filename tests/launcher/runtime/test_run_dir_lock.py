"""Who holds a run_dir; see also test_run_dir.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launcher.runtime.run_dir_lock import Held, Lock, holder


def test_the_holder_is_named_by_its_pid(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []  # asking writes nothing
    lock = Lock(tmp_path)
    for _ in range(2):
        with pytest.raises(Held) as caught:
            Lock(tmp_path)
        assert caught.value.pid == os.getpid()
    held = holder(tmp_path)
    assert held is not None
    assert held.pid == os.getpid()
    lock.release()
    lock.release()
    assert holder(tmp_path) is None


def test_a_folder_that_was_made_anew_is_locked_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lock = Lock(folder)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    assert holder(folder) is None
    assert lock.renew()
    assert holder(folder) is not None
    assert holder(tmp_path / "old") is None
    lock.release()


def test_of_a_folder_that_another_took_nothing_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    mine = Lock(folder)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    theirs = Lock(folder)
    with pytest.raises(Held):
        mine.renew()
    assert holder(tmp_path / "old") is not None
    theirs.release()
    assert mine.renew()
    mine.release()
