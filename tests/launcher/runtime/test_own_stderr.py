"""The launcher's stderr in run_dir."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import os, pathlib, sys
from launcher.runtime.own_stderr import OwnStderr
folder = pathlib.Path(sys.argv[1])
own = OwnStderr(folder)
own.empty()
os.write(2, b"one\\n")
own.reopen()
os.write(2, b"two\\n")
for number in (1, 2):
    if (folder / "launcher.stderr").exists():
        (folder / "launcher.stderr").rename(folder / f"moved.{number}")
    own.reopen()
    os.write(2, b"after %d\\n" % number)
"""


def run(folder: Path, stderr: Path) -> None:
    descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    subprocess.run([sys.executable, "-c", CODE, str(folder)], stderr=descriptor, check=True)
    os.close(descriptor)


def test_it_is_emptied_and_follows_its_name(tmp_path: Path) -> None:
    file = tmp_path / "launcher.stderr"
    file.write_text("of an earlier one\n")
    file.chmod(0o600)
    run(tmp_path, file)
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {"moved.1": "one\ntwo\n", "moved.2": "after 1\n", "launcher.stderr": "after 2\n"}


def test_a_users_own_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    run(tmp_path / "logs", mine)
    assert mine.read_text() == "mine\none\ntwo\nafter 1\nafter 2\n"
    assert list((tmp_path / "logs").iterdir()) == []
