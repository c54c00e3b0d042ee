"""Lines out of bytes, files that rotate, and reading them back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from launcher.runtime.log_files import (
    MAX_LINE,
    Line,
    LineSplitter,
    RotatingFile,
    decode,
    encode,
    numbered,
)
from launcher.runtime.log_reading import tail

TEXT = b"one\ntwo\r\n\nfour \xff\n" + b'{"json": true}\n' + b"x" * 40 + b"\nrest"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_do_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    splitter = LineSplitter()
    lines = [
        line for start in range(0, len(TEXT), size) for line in splitter.feed(TEXT[start : start + size])
    ]
    assert lines == [
        (b"one", False), (b"two", False), (b"", False), (b"four \xff", False), (b'{"json": true}', False), (b"x" * 40, False),
    ]  # fmt: skip
    assert splitter.partial
    assert splitter.flush() == [(b"rest", False)]
    assert splitter.flush() == []


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_line_without_end_is_cut_and_marked(size: int) -> None:
    splitter = LineSplitter(limit=10)
    data = b"a" * 25 + b"\nb\n"
    lines = [
        line for start in range(0, len(data), size) for line in splitter.feed(data[start : start + size])
    ]
    assert b"".join(text for text, _ in lines[:-1]) == b"a" * 25
    assert all(len(text) <= 10 for text, _ in lines)
    assert [cut for _, cut in lines] == [False, True, True, False]


def test_output_without_newlines_keeps_no_more_than_a_line() -> None:
    splitter = LineSplitter()
    for _ in range(200):
        splitter.feed(b"x" * 65536)
    assert len(splitter.flush()[0][0]) <= MAX_LINE


def test_the_rest_of_a_flushed_line_is_a_continuation() -> None:
    splitter = LineSplitter()
    splitter.feed(b"name? ")
    assert splitter.flush() == [(b"name? ", False)]
    assert splitter.feed(b"bob\nnext\n") == [(b"bob", True), (b"next", False)]


@pytest.mark.parametrize(
    "text", [b"", b"plain", b" leading and trailing ", b'{"a": [1, 2]}', b"\xff\xfe", "žluť".encode()]
)
@pytest.mark.parametrize("cut", [False, True])
def test_a_line_is_read_as_it_was_written(text: bytes, cut: bool) -> None:
    raw = encode("2026-01-31T12:00:00.123456Z", "err", text, cut)
    line = decode(raw, "mail.1")
    expected = text.decode("utf-8", "backslashreplace")
    assert line == Line("2026-01-31T12:00:00.123456Z", "mail.1", "err", expected, cut)


@pytest.mark.parametrize("raw", [b"", b"\n", b"garbage", b"2026 what text", b"2026"])
def test_what_is_no_line_is_not_taken_for_one(raw: bytes) -> None:
    assert decode(raw, "x") is None


def write_lines(file: RotatingFile, first: int, count: int) -> None:
    for number in range(first, first + count):
        file.write(encode(f"2026-01-01T00:00:{number:09d}Z", "out", b"line %d" % number), 1)


def test_files_rotate_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "a.log", max_size=500, keep=2)
    write_lines(file, 0, 100)
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.log", "a.log.1", "a.log.2"]
    assert all(path.stat().st_size <= 500 for path in tmp_path.iterdir())
    assert [line.text for line in tail(tmp_path / "a.log", "a", 20)] == [f"line {n}" for n in range(80, 100)]


def test_keeping_none_still_bounds_the_size(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "a.log", max_size=500, keep=0)
    write_lines(file, 0, 100)
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]
    assert (tmp_path / "a.log").stat().st_size <= 500


def test_a_log_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    for first in (0, 3):
        file = RotatingFile(tmp_path / "a.log", max_size=10**6, keep=1)
        write_lines(file, first, 3)
        file.close()
    assert len(tail(tmp_path / "a.log", "a", 100)) == 6


def test_what_cannot_be_written_is_counted_and_told_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    file = RotatingFile(folder / "a.log", max_size=10**6, keep=1)
    write_lines(file, 0, 7)
    assert file.lost_lines == 7
    assert "No such file" in file.problem
    folder.mkdir()
    write_lines(file, 7, 1)
    file.close()
    assert file.problem == ""
    texts = [line.text for line in tail(folder / "a.log", "a", 10)]
    assert texts == ["7 lines before this one are lost: No such file or directory", "line 7"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "launcher.runtime.log_files.open_private", lambda path, flags: os.open("/dev/full", os.O_WRONLY)
    )
    file = RotatingFile(tmp_path / "a.log", max_size=10**6, keep=1)
    write_lines(file, 0, 5)
    file.close()
    assert file.lost_lines == 5
    assert file.problem == "No space left on device"


@pytest.mark.parametrize("how", ["removed", "renamed", "replaced", "truncated"])
def test_a_file_that_somebody_takes_away_is_begun_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.log"
    file = RotatingFile(path, max_size=500, keep=1)
    write_lines(file, 0, 3)
    if how == "removed":
        path.unlink()
    elif how == "renamed":
        path.rename(tmp_path / "elsewhere")
    elif how == "replaced":
        (tmp_path / "new").write_bytes(b"")
        (tmp_path / "new").replace(path)
    else:
        os.truncate(path, 0)
    write_lines(file, 3, 2)
    file.close()
    assert [line.text for line in tail(path, "a", 10)] == ["line 3", "line 4"]
    assert (file.lost_lines, file.problem) == (0, "")
    if how == "renamed":
        assert len((tmp_path / "elsewhere").read_bytes().splitlines()) == 3


def test_a_log_that_was_removed_is_there_again_before_the_next_line(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "a.log", max_size=500, keep=1)
    file.reopen()
    assert not file.path.exists()  # nothing was written, so nothing is missing
    write_lines(file, 0, 1)
    file.path.unlink()
    file.reopen()
    assert file.path.stat().st_size == 0
    file.close()


def test_a_log_goes_on_in_a_folder_that_was_moved_until_there_is_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = RotatingFile(folder / "a.log", 1000, 1)
    file.write(b"one\n", 1)
    folder.rename(tmp_path / "moved")
    file.write(b"two\n", 1)
    folder.mkdir()
    file.write(b"three\n", 1)
    file.close()
    assert file.lost_lines == 0
    assert (tmp_path / "moved" / "a.log").read_bytes() == b"one\ntwo\n"
    assert (folder / "a.log").read_bytes() == b"three\n"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.log").symlink_to(tmp_path / "precious")
    file = RotatingFile(tmp_path / "a.log", max_size=500, keep=1)
    write_lines(file, 0, 2)
    file.close()
    assert file.lost_lines == 2
    assert file.problem == "it is a link or no regular file; remove it"
    assert (tmp_path / "precious").read_text() == "mine"


def test_numbered_files() -> None:
    assert numbered(Path("/x/mail.1.log"), 3) == Path("/x/mail.1.log.3")


def test_trouble_that_is_over_is_told_without_another_line(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = RotatingFile(folder / "mail.1.log", 1000, 1)
    file.write(b"one\n", 1)
    shutil.rmtree(folder)
    file.write(b"two\n", 1)
    file.reopen()
    assert (file.lost_lines, bool(file.problem)) == (1, True)
    folder.mkdir()
    file.reopen()
    assert (file.lost_lines, file.problem) == (1, "")
    assert b"1 lines before this one are lost" in (folder / "mail.1.log").read_bytes()
    file.close()
