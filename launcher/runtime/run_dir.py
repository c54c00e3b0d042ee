"""run_dir: the folder with everything a running cluster keeps on disk.

Nothing in it is believed for lying there: it belongs to this user (`private_files`), control.json and processes.json to this very
folder and to a launcher that is told from a later owner of its pid (`run_record`); and a launcher removes only what it wrote.

.gitignore                *
secret, dashboard.token   0600, made on first use; secret.next beside it while the secret is changed
leases/                   those of services that run as another user; with it run_dir is 0711
keys/                     0700: the key of each service, which is all that it gets of the secret
control.json              0600, while a launcher runs: where its control channel listens
cluster.json              0600: the groups and permissions that routers read when they start
lock                      held by the launcher; its pid as text
processes.json            0600: every process started, by pid and start time, for the next `up` after a crash
events.jsonl              who did what, and what changed
logs/                     one file per process, and launcher.log
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from launcher.errors import AlreadyRunning, RunDirError
from launcher.runtime.run_dir_lock import FileLock, Held, Lock, holder
from luabus.cluster.control_client import ControlAddress, read_address
from luabus.cluster.run_record import is_of, lives, signature
from luabus.errors import NotConnected
from luabus.limits import MIN_SECRET_BYTES
from luabus.private_files import (
    NotOurs,
    keep_out_of_git,
    open_private,
    private_folder,
    read_private,
    replace_private,
)

if TYPE_CHECKING:
    from luabus import Principal, Security

SECRET_PATIENCE_S: Final = 1.0
"""So long another process that makes the secret just now is waited for."""


class RunDir:
    """The paths of one run_dir, and safe ways to write them. Making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secret_file = path / "secret"
        self.token_file = path / "dashboard.token"
        self.control_file = path / "control.json"
        self.cluster_file = path / "cluster.json"
        self.lock_file = path / "lock"
        self.processes_file = path / "processes.json"
        self.events_file = path / "events.jsonl"
        self.log_dir = path / "logs"
        self.keys_dir = path / "keys"
        self.next_secret_file = path / "secret.next"
        self.launcher_log = self.log_dir / "launcher.log"
        self.kept: dict[Path, str] = {}
        """What was written last into each file."""
        self.records: dict[Path, Mapping[str, Any]] = {}
        """Of those that carry who wrote them, the rest."""

    def prepare(self) -> None:
        """Makes the folder (0700), the secret and the dashboard's token (0600). Raises `RunDirError`."""
        try:
            private_folder(self.path, passed_through=self.passed_through)
            private_folder(self.log_dir)
            keep_out_of_git(self.path)
        except NotOurs as error:
            raise RunDirError(
                f"run_dir {self.path} cannot be used: {error.filename}: {error.strerror}, or choose another cluster.run_dir"
            ) from None
        except OSError as error:
            raise RunDirError(
                f"run_dir {self.path} cannot be made: {error.strerror}; allowed: a folder this user may write"
                " (cluster.run_dir in cluster.toml)"
            ) from None
        except UnicodeEncodeError as error:
            raise RunDirError(
                f"run_dir {self.path} cannot be named in this locale's encoding ({error.encoding}); "
                "set PYTHONUTF8=1 or LC_ALL=C.UTF-8, or choose another cluster.run_dir"
            ) from None
        for file in (self.secret_file, self.token_file):
            self._make_secret(file)
        self.secret()

    @property
    def passed_through(self) -> bool:
        """Whether services that run as another user have their leases in it: see `service_leases`."""
        return (self.path / "leases").is_dir()

    def secret(self) -> bytes:
        """The bus' secret. Raises `RunDirError` when it cannot be read, or is too short to be one."""
        secret = self._read(self.secret_file).encode()
        if len(secret) < MIN_SECRET_BYTES:
            raise RunDirError(
                f"{self.secret_file} holds {len(secret)} bytes, and a secret has at least {MIN_SECRET_BYTES}; "
                "delete it, and `luabus-cluster up` makes a new one"
            )
        return secret

    def security(self, principal: Principal | None = None) -> Security:
        """With the bus' secret, read anew when it changes: an administrator, or `principal`. Raises `RunDirError`."""
        from luabus import Principal, Security

        self.secret()  # what is wrong with it is said in this folder's words
        return Security.of_file(self.secret_file, principal or Principal("admin"))

    def dashboard_token(self) -> str:
        """The dashboard's bearer token. Raises `RunDirError`."""
        return self._read(self.token_file)

    def write(self, file: Path, text: str) -> None:
        """Replaces the file in one step, mode 0600. Raises OSError."""
        replace_private(file, text.encode())
        self.kept[file] = text

    def write_record(self, file: Path, values: Mapping[str, Any]) -> None:
        """Writes control.json or processes.json, with who wrote it. Raises OSError."""
        self.write(file, json.dumps({**signature(self.path), **values}))
        self.records[file] = values

    def remove_record(self, file: Path, pid: int) -> None:
        """Removes it, if the launcher with this pid wrote it."""
        self.kept.pop(file, None)
        self.records.pop(file, None)
        if self._record(file).get("pid") == pid:
            file.unlink(missing_ok=True)

    def is_mine(self, file: Path) -> bool:
        """Whether it is as `write_record` wrote it last, into this very folder."""
        try:
            return read_private(file).decode() == self.kept.get(file) and is_of(_read_json(file), self.path)
        except (OSError, UnicodeDecodeError):
            return False

    def read_control(self) -> ControlAddress | None:
        """Where the launcher listens, or None when no living one wrote that into this folder (or it is damaged)."""
        try:
            return read_address(self.control_file)
        except NotConnected:
            return None

    def read_processes(self, writer: int | None = None) -> tuple[str, list[tuple[int, float]]]:
        """What the last launcher (or only the one with this pid) recorded: its run id, and pid and start time of each process.

        Empty for none, or damaged.
        """
        value = self._record(self.processes_file)
        if writer is not None and value.get("pid") != writer:
            return "", []
        run, entries = value.get("run"), value.get("processes")
        found = []
        for entry in entries if isinstance(entries, list) else ():
            pid, started = (
                (entry.get("pid"), entry.get("started")) if isinstance(entry, dict) else (None, None)
            )
            if isinstance(pid, int) and pid > 1 and isinstance(started, int | float):
                found.append((pid, float(started)))
        return run if isinstance(run, str) else "", found

    def lock_rotation(self) -> FileLock:
        """Only one changes the secret at a time. Raises `RunDirError`."""
        file = self.path / "secret.lock"
        try:
            return FileLock(file)
        except Held:
            raise RunDirError(f"another `secret rotate` is at work in {self.path}") from None
        except OSError as error:
            raise RunDirError(f"{file} cannot be opened: {error.strerror}") from None

    def writer(self) -> int | None:
        """The pid of the launcher that wrote into this folder and lives, this one excepted.

        Of one whose lock was removed only this tells.
        """
        for file in (self.control_file, self.processes_file):
            record = self._record(file)
            pid, mark = record.get("pid"), record.get("started")
            if isinstance(pid, int) and pid != os.getpid() and isinstance(mark, str) and lives(pid, mark):
                return pid
        return None

    def holder(self) -> Held | None:
        """Who holds the lock; None when nobody does. Writes nothing."""
        held = holder(self.path)
        return Held(self.writer()) if held is not None and held.pid is None else held

    def lock(self) -> Lock:
        """Takes the lock. Raises `AlreadyRunning`, with the pid of the launcher that holds it, or `RunDirError`."""
        try:
            return Lock(self.path)
        except Held as held:
            pid = self.writer() if held.pid is None else held.pid
            raise AlreadyRunning(
                f"a launcher runs already for {self.path}: pid {pid or 'unknown'}; `luabus-cluster down` stops it",
                pid,
            ) from None
        except OSError as error:
            raise RunDirError(f"{self.lock_file} cannot be opened or written: {error.strerror}") from None

    def _record(self, file: Path) -> Mapping[str, Any]:
        """What a launcher of this folder wrote; {} when it is another's, or damaged."""
        record = _read_json(file)
        return record if is_of(record, self.path) else {}

    def _make_secret(self, file: Path) -> None:
        """Makes it if it is absent, or empty, as a disk that was full leaves it; never under a launcher that runs.

        Under the lock, so that of two who come at once one makes it and both read the same.
        """
        deadline = time.monotonic() + SECRET_PATIENCE_S
        while not self._has(file):
            try:
                lock = self.lock()
            except AlreadyRunning as error:
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                raise RunDirError(
                    f"{file} is missing or empty, and the launcher (pid {error.pid}) runs with what it was; "
                    f"`kill {error.pid}` stops the cluster, and `luabus-cluster up` makes a new one"
                ) from None
            try:
                if not self._has(file):
                    self._write_secret(file)
            finally:
                lock.release()

    def _has(self, file: Path) -> bool:
        try:
            descriptor = open_private(file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunDirError(f"{file} cannot be read: {error.strerror}") from None
        found = os.fstat(descriptor)
        os.close(descriptor)
        if os.name == "posix" and found.st_mode & 0o077:
            raise RunDirError(
                f"{file} can be read by others; make it private (chmod 600), or delete it for a new one"
            )
        return found.st_size > 0

    def _write_secret(self, file: Path) -> None:
        import secrets  # here, for `status` has no use for it

        try:
            self.write(file, secrets.token_urlsafe(32))
        except OSError as error:
            raise RunDirError(
                f"{file} cannot be written: {error.strerror}; allowed: a folder with room that this user may write"
                " (cluster.run_dir in cluster.toml)"
            ) from None

    def _read(self, file: Path) -> str:
        try:
            text = read_private(file, self._owners()).decode("ascii").strip()
        except OSError as error:
            raise RunDirError(f"{file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise RunDirError(
                f"{file} holds bytes that are no ASCII text; delete it, and `luabus-cluster up` makes a new one"
            ) from None
        if not text:
            raise RunDirError(f"{file} is empty; delete it, and `luabus-cluster up` makes a new one")
        return text

    def _owners(self) -> tuple[int, ...]:
        """Whose files may be read: one's own; and root, who helps others, may ask their clusters."""
        return (os.geteuid(), self.path.stat().st_uid) if os.name == "posix" and os.geteuid() == 0 else ()


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
