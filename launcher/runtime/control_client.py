"""The control channel, command line's side."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import luabus
from launcher.errors import AlreadyRunning, ConfigError, LauncherError, NoAnswer, NotRunning, Problem
from launcher.runtime.run_dir import RunDir
from luabus.errors import AuthError, LuabusError, RequestTimeout

CONNECT_TIMEOUT_MS = 5000

DEFAULT_RUN_DIR = ".luabus"

_RUN_DIR_LINE = re.compile(r"""^\s*run_dir\s*=\s*(["'])(.*?)\1""", re.MULTILINE)
"""In a file that is no TOML any more, because somebody is at work on it."""

CONTROL_BUFFER = 16 << 20
"""Bytes of one answer at most, at both ends: a status of 200 processes has 300 KB, ten thousand log lines some MB."""


def find_run_dir(config_file: Path) -> RunDir:
    """run_dir of a configuration file, read without checking the rest of it: a cluster can be stopped after its file broke.

    Raises `ConfigError` when the file is missing, or is no TOML and no cluster runs where a look at its lines leads to.
    """
    try:
        text = config_file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            str(config_file), [Problem("", "there is no such file; -c names another")]
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(str(config_file), [Problem("", "is not UTF-8 text")]) from None
    except OSError as error:
        raise ConfigError(str(config_file), [Problem("", f"cannot be read: {error.strerror}")]) from None
    base = config_file.resolve().parent
    try:
        cluster = tomllib.loads(text).get("cluster")
    except tomllib.TOMLDecodeError as error:
        line = _RUN_DIR_LINE.search(text)
        found = _run_dir(base, line[2] if line else DEFAULT_RUN_DIR)
        if found.read_control() is None:
            raise ConfigError(str(config_file), [Problem("", f"is not valid TOML: {error}")]) from None
        return found
    value = cluster.get("run_dir", DEFAULT_RUN_DIR) if isinstance(cluster, dict) else DEFAULT_RUN_DIR
    return _run_dir(base, str(value))


def _run_dir(base: Path, value: str) -> RunDir:
    try:
        return RunDir((base / Path(value).expanduser()).absolute())
    except RuntimeError:
        raise ConfigError(
            str(base), [Problem("cluster.run_dir", f'found "{value}": there is no such home')]
        ) from None


def ask(config_file: Path, method: str, *args: Any, timeout: float | None = 10.0) -> Any:
    """One request to the launcher of this configuration, without an event loop: it is what most verbs come to.

    Raises as `Control` does, and what the launcher refuses.
    """
    run_dir = find_run_dir(config_file)
    where = _whereabouts(run_dir)
    try:
        peer = luabus.Conversation(
            where.host, where.port, run_dir.secret(), timeout=CONNECT_TIMEOUT_MS / 1000, limit=CONTROL_BUFFER
        )
    except LuabusError as error:
        raise _no_connection(run_dir, where.pid, error) from None
    with peer:
        return peer.request(method, *args, timeout=timeout)


class _Where(NamedTuple):
    """What control.json says of a launcher; `guard` is the pid of its guard, if it has one."""

    pid: int
    guard: int | None
    host: str
    port: int


def _whereabouts(run_dir: RunDir) -> _Where:
    where = run_dir.read_control()
    if where is None:
        raise NotRunning(_not_running(run_dir))
    guard = where.get("guard")
    return _Where(
        where["pid"], guard if isinstance(guard, int) else None, str(where["host"]), int(where["port"])
    )


def _not_running(run_dir: RunDir) -> str:
    return f"no cluster runs for {run_dir.path}; `luabus-cluster up` starts it"


def _no_connection(run_dir: RunDir, pid: int, error: LuabusError) -> LauncherError:
    """Why the launcher could not be reached."""
    if isinstance(error, AuthError):
        return LauncherError(
            f"the launcher (pid {pid}) has another secret than {run_dir.secret_file}; was the file replaced?"
        )
    if isinstance(error, RequestTimeout) and _lives(run_dir):
        return NoAnswer(pid, CONNECT_TIMEOUT_MS / 1000)
    return NotRunning(_not_running(run_dir))


def _lives(run_dir: RunDir) -> bool:
    try:
        run_dir.lock().release()
    except AlreadyRunning:
        return True
    return False


class Control:
    """`async with Control(run_dir) as control: await control.request("status")`."""

    def __init__(self, run_dir: RunDir, on_log: Callable[[list[dict[str, Any]]], None] | None = None) -> None:
        self._run_dir = run_dir
        self._on_log = on_log
        self._mgr: Any = None
        self._stream: Any = None
        self.pid = 0
        self._guard: int | None = None
        self._stopped = False

    async def __aenter__(self) -> Control:
        """Raises `NotRunning` when there is no launcher, `NoAnswer` when it is stopped or hangs."""
        where = _whereabouts(self._run_dir)
        self.pid, self._guard = where.pid, where.guard
        self._mgr = luabus.create_socket_mgr(4, secret=self._run_dir.secret())
        self._stream = self._mgr.connect(where.host, where.port, CONNECT_TIMEOUT_MS)
        self._stream.set_recv_buffer_size(CONTROL_BUFFER)
        self._stream.on_call = self._called
        try:
            await self._stream.connected()
        except LuabusError as error:
            await self._mgr.close()
            raise _no_connection(self._run_dir, self.pid, error) from None
        except BaseException:  # cancelled: nobody gets this to close it
            await self._mgr.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mgr is not None:
            await self._mgr.close()

    async def request(self, method: str, *args: Any, timeout: float | None = 10.0) -> Any:
        """Calls a method of the launcher. Its refusals come back as `luabus.errors.Refused`."""
        return await self._stream.request(method, *args, timeout=timeout)

    async def closed(self) -> None:
        """Waits until the launcher closes the connection, which it does when it ends."""
        with contextlib.suppress(LuabusError):
            await self._stream.closed()

    async def gone(self) -> None:
        """After `closed`: waits until the launcher, its guard and so everything below them has ended.

        Raises `LauncherError` when it was killed: then the guard has ended the rest.
        """
        import asyncio

        import psutil

        for pid in (self.pid, self._guard):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.02)
        if not self._stopped:
            raise LauncherError(f"the launcher (pid {self.pid}) was killed, and the cluster ended with it")

    def _called(self, msg: str, *args: Any) -> None:
        if msg == "stopped":
            self._stopped = True
        elif msg == "log" and self._on_log is not None:
            self._on_log(args[0])
