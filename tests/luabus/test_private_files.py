from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from luabus.private_files import (
    NotOurs,
    create_private,
    keep_out_of_git,
    open_private,
    private_folder,
    read_private,
    replace_private,
)


def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    replace_private(tmp_path / "a", b"one")
    replace_private(tmp_path / "a", b"two")
    assert read_private(tmp_path / "a") == b"two"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_links_pipes_and_folders_are_no_files_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "pipe"):
        for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            with pytest.raises(NotOurs, match="remove it"):
                open_private(tmp_path / name, flags)
    with pytest.raises(NotOurs):
        open_private(tmp_path / "folder", os.O_RDONLY)
    assert (tmp_path / "file").read_text() == "precious"
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("theirs")
    os.chown(tmp_path / "file", 65534, 65534)
    with pytest.raises(NotOurs, match=r"belongs to another user \(uid 65534, this is 0\)"):
        open_private(tmp_path / "file", os.O_WRONLY | os.O_TRUNC)
    assert (tmp_path / "file").read_text() == "theirs"
    assert read_private(tmp_path / "file", (65534,)) == b"theirs"
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65534, 65534)
    with pytest.raises(NotOurs):
        private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_folder_is_closed_and_stays_out_of_git(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keep_out_of_git(folder)
    keep_out_of_git(folder)
    assert (folder / ".gitignore").read_text() == "*\n"


def test_what_could_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        replace_private(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_file_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    with monkeypatch.context() as full:
        full.setattr("luabus.private_files.replace_private", _disk_is_full)
        with pytest.raises(OSError, match="No space"):
            create_private(file, b"first")
    assert list(tmp_path.iterdir()) == []
    assert create_private(file, b"first")
    assert not create_private(file, b"second")
    assert file.read_bytes() == b"first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with monkeypatch.context() as old_disk:
        old_disk.setattr(os, "link", _disk_is_full)
        assert create_private(tmp_path / "other", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "token"]


def _disk_is_full(*_: object) -> None:
    raise OSError(28, "No space left on device")
