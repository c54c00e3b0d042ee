"""A cluster whose files somebody removes is found again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_keeper import RunDirKeeper
from launcher.runtime.run_dir_lock import Held, Lock
from luabus.private_files import NotOurs


class Kept:
    def __init__(self, folder: Path) -> None:
        self.run_dir = RunDir(folder)
        self.run_dir.prepare()
        self.lock = self.run_dir.lock()
        self.keeper = RunDirKeeper(self.run_dir, self.lock)
        for file in (self.run_dir.control_file, self.run_dir.processes_file):
            self.record(file)
        assert self.keeper.look() == []

    def record(self, file: Path) -> None:
        values = (
            {"guard": None, "host": "h", "port": 1} if file == self.run_dir.control_file else {"run": "r"}
        )
        self.run_dir.write_record(file, values)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "run")
    yield made
    made.lock.release()


@pytest.mark.parametrize("name", ["secret", "dashboard.token", "control.json", "processes.json", "lock"])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_each_file_is_written_anew_as_it_was(kept: Kept, name: str, how: str) -> None:
    file = kept.run_dir.path / name
    text = file.read_text()
    if how == "removed":
        file.unlink()
    else:
        file.write_text("")
    assert kept.keeper.look() == [name]
    assert file.read_text() == text
    assert kept.keeper.look() == []


def test_a_record_that_was_damaged_or_is_anothers_is_written_anew(kept: Kept) -> None:
    text = kept.run_dir.control_file.read_text()
    for damage in ("{", "[]", text.replace('"port": 1', '"port": 2'), text[:-9]):
        kept.run_dir.control_file.write_text(damage)
        assert kept.keeper.look() == ["control.json"]
        assert kept.run_dir.control_file.read_text() == text


def test_the_whole_folder_is_made_anew(kept: Kept) -> None:
    secret = kept.run_dir.secret()
    shutil.rmtree(kept.run_dir.path)
    assert kept.keeper.look() == [
        "run", "lock", "logs", "secret", "dashboard.token", "control.json", "processes.json",
    ]  # fmt: skip
    assert kept.run_dir.secret() == secret
    assert kept.run_dir.read_control() is not None
    with pytest.raises(Held):
        Lock(kept.run_dir.path)


@pytest.mark.parametrize("name", ["secret", "dashboard.token", "control.json", "processes.json"])
def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(kept: Kept, name: str) -> None:
    file = kept.run_dir.path / name
    text = file.read_text()
    elsewhere = kept.run_dir.path.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert kept.keeper.look() == [name]
    assert not file.is_symlink()
    assert file.read_text() == elsewhere.read_text() == text


def test_what_cannot_be_kept_keeps_nothing_else_from_being_kept(kept: Kept) -> None:
    kept.run_dir.lock_file.unlink()
    kept.run_dir.lock_file.symlink_to(kept.run_dir.path.parent / "elsewhere")
    kept.run_dir.control_file.unlink()
    with pytest.raises(NotOurs):
        kept.keeper.look()
    assert kept.run_dir.is_mine(kept.run_dir.control_file)
    assert kept.run_dir.lock_file.is_symlink()


def test_a_new_secret_is_kept_from_then_on(kept: Kept) -> None:
    kept.run_dir.write(kept.run_dir.secret_file, "a-new-secret-of-the-cluster")
    assert kept.keeper.look() == []
    kept.run_dir.secret_file.unlink()
    assert kept.keeper.look() == ["secret"]
    assert kept.run_dir.secret() == b"a-new-secret-of-the-cluster"


def test_where_the_folder_above_is_gone_nothing_is_made(kept: Kept) -> None:
    above = kept.run_dir.path.parent
    above.rename(above.with_name("moved"))
    try:
        with pytest.raises(OSError):
            kept.keeper.look()
        assert not above.exists()
    finally:
        above.with_name("moved").rename(above)
    assert kept.keeper.look() == []
