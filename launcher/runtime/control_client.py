"""The control channel, command line's side: which launcher a configuration means, and why that cannot be reached."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from launcher.errors import AlreadyRunning, ConfigError, LauncherError, NoAnswer, NotRunning, Problem
from launcher.runtime.run_dir import RunDir
from luabus.cluster import control_client
from luabus.cluster.control_client import ControlAddress, ControlConnection, Lines
from luabus.errors import AuthError, LuabusError, RequestTimeout

CONNECT_TIMEOUT_S = 5.0

DEFAULT_RUN_DIR = ".luabus"

_RUN_DIR_LINE = re.compile(r"""^\s*run_dir\s*=\s*(["'])(.*?)\1""", re.MULTILINE)
"""In a file that is no TOML any more, because somebody is at work on it."""


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
    address = _address(run_dir)
    return control_client.ask(
        address,
        run_dir.security(),
        method,
        *args,
        timeout=timeout,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        unreachable=lambda error: _no_connection(run_dir, address.pid, error),
    )


def _address(run_dir: RunDir) -> ControlAddress:
    address = run_dir.read_control()
    if address is None:
        raise NotRunning(_not_running(run_dir))
    return address


def _not_running(run_dir: RunDir) -> str:
    return f"no cluster runs for {run_dir.path}; `luabus-cluster up` starts it"


def _no_connection(run_dir: RunDir, pid: int, error: LuabusError) -> LauncherError:
    """Why the launcher could not be reached."""
    if isinstance(error, AuthError):
        return LauncherError(
            f"the launcher (pid {pid}) has another secret than {run_dir.secret_file}; was the file replaced? ({error})"
        )
    if isinstance(error, RequestTimeout) and _lives(run_dir):
        return NoAnswer(pid, CONNECT_TIMEOUT_S)
    return NotRunning(_not_running(run_dir))


def _lives(run_dir: RunDir) -> bool:
    try:
        run_dir.lock().release()
    except AlreadyRunning:
        return True
    return False


class Control:
    """The connection of a verb: `async with Control(run_dir) as control: await control.request("status")`."""

    def __init__(self, run_dir: RunDir, on_log: Callable[[Lines], None] | None = None) -> None:
        self._run_dir = run_dir
        self._on_log = on_log
        self._connection: ControlConnection | None = None

    async def __aenter__(self) -> Self:
        """Raises `NotRunning` when there is no launcher, `NoAnswer` when it is stopped or hangs."""
        address = _address(self._run_dir)
        connection = ControlConnection(address, self._run_dir.security(), self._on_log, CONNECT_TIMEOUT_S)
        try:
            self._connection = await connection.__aenter__()
        except LuabusError as error:
            raise _no_connection(self._run_dir, address.pid, error) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.close()

    @property
    def pid(self) -> int:
        """The launcher's."""
        return self._open.address.pid

    async def request(self, method: str, *args: Any, timeout: float | None = 10.0) -> Any:
        """Calls a method of the launcher. Its refusals come back as `luabus.errors.Refused`."""
        return await self._open.request(method, *args, timeout=timeout)

    async def closed(self) -> None:
        """Waits until the launcher closes the connection, which it does when it ends."""
        await self._open.closed()

    async def gone(self) -> None:
        """After `closed`: waits until the launcher, its guard and so everything below them has ended.

        Raises `LauncherError` when it was killed: then the guard has ended the rest.
        """
        import asyncio

        import psutil

        for pid in (self.pid, self._open.address.guard):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.02)
        if not self._open.ended_in_order:
            raise LauncherError(f"the launcher (pid {self.pid}) was killed, and the cluster ended with it")

    @property
    def _open(self) -> ControlConnection:
        assert self._connection is not None, "used outside of `async with`"
        return self._connection
