"""What a running launcher needs in run_dir, kept there: removed, emptied or overwritten, it is written anew."""

from __future__ import annotations

import contextlib
from pathlib import Path

from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_lock import Lock
from luabus.private_files import keep_out_of_git, private_folder, read_private

LOOK_EVERY_S = 1.0
"""How often the launcher looks."""


class RunDirKeeper:
    """The run_dir of one launcher, which holds `lock`: all that this launcher wrote, and the secrets that it found."""

    def __init__(self, run_dir: RunDir, lock: Lock) -> None:
        self._run_dir = run_dir
        self._lock = lock
        self._remember_secrets()

    def look(self) -> list[str]:
        """Names of what was written anew. Raises OSError when that cannot be, `Held` when another launcher has the folder now."""
        run_dir = self._run_dir
        anew = []
        run_dir.path.parent.stat()  # only run_dir itself is made anew, not where it lay
        anew += _folder(run_dir.path, passed_through=run_dir.passed_through)
        if self._lock.renew():
            anew.append(run_dir.lock_file.name)
        anew += _folder(run_dir.log_dir)
        keep_out_of_git(run_dir.path)
        self._remember_secrets()
        for file, text in list(run_dir.kept.items()):
            values = run_dir.records.get(file)
            if run_dir.is_mine(file) if values is not None else _filled(file):
                continue
            if values is not None:
                run_dir.write_record(file, values)
            else:
                run_dir.write(file, text)
            anew.append(file.name)
        return anew

    def _remember_secrets(self) -> None:
        """As they are now: new ones may have taken their place."""
        for file in (self._run_dir.secret_file, self._run_dir.token_file):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if text := read_private(file).decode("ascii"):
                    self._run_dir.kept[file] = text


def _folder(path: Path, *, passed_through: bool = False) -> list[str]:
    """Its name, if it was made; one that is there must be ours still."""
    is_there = path.exists()
    private_folder(path, passed_through=passed_through)
    return [] if is_there else [path.name]


def _filled(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False
