"""run_dir: the folder with everything a running cluster keeps on disk, and the lock that only one launcher holds.

secret, dashboard.token   0600, made on first use
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
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from launcher.errors import AlreadyRunning, RunDirError
from luabus.cluster.control_client import ControlAddress, read_address
from luabus.errors import NotConnected
from luabus.limits import MIN_SECRET_BYTES

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
        self.launcher_log = self.log_dir / "launcher.log"

    def prepare(self) -> None:
        """Makes the folder (0700), the secret and the dashboard's token (0600). Raises `RunDirError`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix" and self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
            self.log_dir.mkdir(mode=0o700, exist_ok=True)
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
        temporary = file.with_name(f".{file.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
            temporary.replace(file)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def read_control(self) -> ControlAddress | None:
        """Where the launcher listens, or None when none wrote it (or it is damaged)."""
        try:
            return read_address(self.control_file)
        except NotConnected:
            return None

    def read_processes(self) -> tuple[str, list[tuple[int, float]]]:
        """What the last launcher recorded: its run id, and pid and start time of each process. Empty for none, or damaged."""
        value = _read_json(self.processes_file)
        run, entries = value.get("run"), value.get("processes")
        found = []
        for entry in entries if isinstance(entries, list) else ():
            pid, started = (
                (entry.get("pid"), entry.get("started")) if isinstance(entry, dict) else (None, None)
            )
            if isinstance(pid, int) and pid > 1 and isinstance(started, int | float):
                found.append((pid, float(started)))
        return run if isinstance(run, str) else "", found

    def lock(self) -> Lock:
        """Takes the lock. Raises `AlreadyRunning`, with the pid of the launcher that holds it, or `RunDirError`."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RunDirError(f"{self.lock_file} cannot be opened: {error.strerror}") from None
        if not _try_lock(descriptor):
            text = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            pid = int(text) if text.isdigit() else None
            raise AlreadyRunning(
                f"a launcher runs already for {self.path}: pid {text or 'unknown'}; `luabus-cluster down` stops it",
                pid,
            )
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:
            os.close(descriptor)
            raise RunDirError(f"{self.lock_file} cannot be written: {error.strerror}") from None
        return Lock(descriptor)

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
            found = file.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunDirError(f"{file} cannot be read: {error.strerror}") from None
        self._check_private(file, found.st_mode)
        return found.st_size > 0

    def _write_secret(self, file: Path) -> None:
        try:
            self.write(file, secrets.token_urlsafe(32))
        except OSError as error:
            raise RunDirError(
                f"{file} cannot be written: {error.strerror}; allowed: a folder with room that this user may write"
                " (cluster.run_dir in cluster.toml)"
            ) from None

    def _check_private(self, file: Path, mode: int) -> None:
        if os.name == "posix" and mode & 0o077:
            raise RunDirError(
                f"{file} can be read by others; make it private (chmod 600), or delete it for a new one"
            )

    def _read(self, file: Path) -> str:
        try:
            text = file.read_text("ascii").strip()
        except OSError as error:
            raise RunDirError(f"{file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise RunDirError(
                f"{file} holds bytes that are no ASCII text; delete it, and `luabus-cluster up` makes a new one"
            ) from None
        if not text:
            raise RunDirError(f"{file} is empty; delete it, and `luabus-cluster up` makes a new one")
        return text


class Lock:
    """A held lock; it is released with the process at the latest."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Lets the next launcher in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        # Beyond the pid's text, so that others can read that while it is locked.
        os.lseek(descriptor, 1024, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
