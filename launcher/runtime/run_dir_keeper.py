"""What a running launcher needs in run_dir, kept there: removed, emptied or overwritten, it is written anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_lock import Lock
from luabus.private_files import keep_out_of_git, private_folder, read_private

LOOK_EVERY_S = 1.0
"""How often the launcher looks."""


class RunDirKeeper:
    """The run_dir of one launcher, which holds `lock`. `record` writes control.json and processes.json."""

    def __init__(self, run_dir: RunDir, lock: Lock, record: Callable[[Path], None]) -> None:
        self._run_dir = run_dir
        self._lock = lock
        self._record = record
        self._kept: dict[Path, bytes] = {}
        self._remember()

    def look(self) -> list[str]:
        """Names of what was written anew. Raises OSError when that cannot be, `Held` when another launcher has the folder now."""
        run_dir = self._run_dir
        anew = []
        if not run_dir.path.exists() and run_dir.path.parent.exists():
            private_folder(run_dir.path)
            anew.append(run_dir.path.name)
        if self._lock.renew():
            anew.append(run_dir.lock_file.name)
        if not run_dir.log_dir.exists():
            private_folder(run_dir.log_dir)
            anew.append(run_dir.log_dir.name)
        keep_out_of_git(run_dir.path)
        self._remember()
        for file, text in self._kept.items():
            if not _filled(file):
                run_dir.write(file, text.decode("ascii"))
                anew.append(file.name)
        for file in (run_dir.control_file, run_dir.processes_file):
            if not run_dir.is_mine(file):
                self._record(file)
                anew.append(file.name)
        return anew

    def _remember(self) -> None:
        """The secrets as they are now: a new one may have taken their place."""
        for file in (self._run_dir.secret_file, self._run_dir.token_file):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if (text := read_private(file)) and text.decode("ascii"):
                    self._kept[file] = text


def _filled(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False
