"""cluster.toml as a file: what `-c` means, where relative paths start, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launcher.errors import ConfigError
from launcher.runtime.config_file import MOST_BYTES, absolute, folder_of, meant, place, read_text


def test_a_folder_means_its_file(tmp_path: Path) -> None:
    assert meant(tmp_path) == tmp_path / "cluster.toml"
    assert meant(tmp_path / "none") == tmp_path / "none"
    assert meant(Path("\0")) == Path("\0")


def test_no_link_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "releases/1").mkdir(parents=True)
    current = tmp_path / "current"
    current.symlink_to("releases/1")
    assert folder_of(current / "cluster.toml") == current
    monkeypatch.chdir(current)
    monkeypatch.setenv("PWD", str(current))
    assert folder_of(Path("cluster.toml")) == current
    assert absolute(Path("../x")) == current / "../x"
    # What the shell showed once, but is elsewhere now.
    for name in (str(tmp_path), "current", "", str(tmp_path / "none")):
        monkeypatch.setenv("PWD", name)
        assert folder_of(Path("cluster.toml")) == tmp_path / "releases/1"


def test_which_folder_stands_there(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    link = tmp_path / "current"
    link.symlink_to("1")
    first = place(link)
    assert first == place(tmp_path / "1") != place(tmp_path / "2")
    link.unlink()
    assert place(link) == ""
    (tmp_path / "1").rename(tmp_path / "old")
    (tmp_path / "1").mkdir()
    assert place(tmp_path / "1") != first


def test_who_stands_below_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "cluster.toml").touch()
    monkeypatch.chdir(tmp_path / "a" / "b")
    with pytest.raises(ConfigError, match=r"-c names another, such as \.\./\.\./cluster\.toml"):
        read_text(Path("cluster.toml"))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    def why(path: Path) -> str:
        with pytest.raises(ConfigError) as refused:
            read_text(path)
        return refused.value.problems[0].text

    assert why(tmp_path / "a b" / "cluster.toml").startswith(
        f"there is no such file; `luabus-cluster init '{tmp_path}/a b'` writes one"
    )
    assert "`luabus-cluster init` writes one" in why(Path("none.toml"))
    assert why(tmp_path) == "is no regular file; allowed: a file, which can be read again"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert why(fifo) == "is no regular file; allowed: a file, which can be read again"
    link = tmp_path / "link"
    link.symlink_to("gone")
    assert why(link) == "is a link to gone, and there is no such file"
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert why(large) == f"has {MOST_BYTES + 1} bytes; allowed: at most {MOST_BYTES}"
    (tmp_path / "latin").write_bytes(b"name = '\xe9'")
    assert why(tmp_path / "latin") == "is not UTF-8 text: byte 8 is 0xe9"
    assert why(Path("\0")).startswith("cannot be read: ")
    assert why(large / "x") == "cannot be read: Not a directory"


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_bytes(b"\xef\xbb\xbf[cluster]\r\n")
    assert read_text(file) == "[cluster]\n"
