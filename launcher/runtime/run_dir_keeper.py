"""What a running launcher needs in run_dir, kept there: removed, emptied or overwritten, it is written anew."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_lock import Lock
from luabus.cluster.run_record import folder_mark
from luabus.private_files import NotOurs, check_owner, keep_out_of_git, private_folder, read_private

LOOK_EVERY_S = 1.0
"""How often the launcher looks."""


class RunDirKeeper:
    """The run_dir of one launcher, which holds `lock`: all that this launcher wrote, and the secrets that it found."""

    def __init__(self, run_dir: RunDir, lock: Lock) -> None:
        self._run_dir = run_dir
        self._lock = lock
        self._folder = run_dir.path.resolve()
        self._mark = folder_mark(run_dir.path)
        self._linked = False
        self._remember_secrets()

    def look(self) -> list[str]:
        """Names of what was written anew. Raises OSError when some of it cannot be, after the rest is; `Held` when another
        launcher has the folder now."""
        run_dir = self._run_dir
        anew = []
        run_dir.path.parent.stat()  # only run_dir itself is made anew, not where it lay
        if self._follow():
            anew.append(run_dir.path.name)
        anew += _folder(run_dir.path, passed_through=run_dir.passed_through)
        is_another = folder_mark(run_dir.path) != self._mark
        troubles: list[OSError] = []
        with _noted(troubles):
            if self._lock.renew():
                anew.append(run_dir.lock_file.name)
        with _noted(troubles):
            anew += _folder(run_dir.log_dir)
        with _noted(troubles):
            keep_out_of_git(run_dir.path)
        if not is_another:  # the secrets in another folder are another cluster's
            self._remember_secrets()
        for file, text in list(run_dir.kept.items()):
            values = run_dir.records.get(file)
            if run_dir.is_mine(file) if values is not None else _filled(file) and not is_another:
                continue
            with _noted(troubles):
                if values is not None:
                    run_dir.write_record(file, values)
                else:
                    run_dir.write(file, text)
                anew.append(file.name)
        self._mark = folder_mark(run_dir.path)
        if troubles:
            raise troubles[0]
        return anew

    def close(self) -> None:
        """Takes back what it put where others look."""
        with contextlib.suppress(OSError):
            self._unlink()

    def _follow(self) -> bool:
        """Where a link on the way to run_dir leads elsewhere now (`current`, to the next release), run_dir is linked there, with
        its lease and logs, as long as it is where it was; whether that was done."""
        path = self._run_dir.path
        if path.exists():
            return False
        self._unlink()
        if path.resolve() == self._folder or not self._is_there():
            return False
        path.symlink_to(self._folder)
        self._linked = True
        return True

    def _unlink(self) -> None:
        if self._linked and self._run_dir.path.is_symlink() and self._run_dir.path.readlink() == self._folder:
            self._run_dir.path.unlink()
        self._linked = False

    def _is_there(self) -> bool:
        try:
            return folder_mark(self._folder) == self._mark
        except OSError:
            return False

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
    """Whether it is there, with something in it, and ours: a link that stands in its place is read by nobody."""
    try:
        found = file.lstat()
        check_owner(file, found)
    except (FileNotFoundError, NotOurs):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


@contextlib.contextmanager
def _noted(troubles: list[OSError]) -> Iterator[None]:
    """What goes wrong here keeps nothing else from being done."""
    try:
        yield
    except OSError as error:
        troubles.append(error)
