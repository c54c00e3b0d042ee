"""The control channel, command line's side: which launcher a configuration means, and why that cannot be reached."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from launcher.errors import ConfigError, LauncherError, NoAnswer, NotRunning, Problem
from launcher.runtime import lost_launcher
from launcher.runtime.config_file import folder_of, read_text
from launcher.runtime.run_dir import RunDir
from launcher.runtime.run_dir_lock import Held
from luabus.cluster import control_client
from luabus.cluster.control_client import ControlAddress, ControlConnection, Lines
from luabus.cluster.run_record import lives, process_mark
from luabus.errors import AuthError, LuabusError, RequestTimeout

CONNECT_TIMEOUT_S = 5.0

REWRITTEN_S = 3.0
"""So long a launcher may take to write control.json anew; it looks every second."""

DEFAULT_RUN_DIR = ".luabus"

_RUN_DIR_LINE = re.compile(r"""^\s*run_dir\s*=\s*(["'])(.*?)\1""", re.MULTILINE)
"""In a file that is no TOML any more, because somebody is at work on it."""


def find_run_dir(config_file: Path) -> RunDir:
    """run_dir of a configuration file, read without checking the rest of it: a cluster can be stopped after its file broke.

    Raises `ConfigError` when the file is missing, or is no TOML and no cluster runs where a look at its lines leads to.
    """
    text = read_text(config_file)
    base = folder_of(config_file)
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
        return RunDir(base / Path(value).expanduser())
    except RuntimeError:
        raise ConfigError(
            str(base), [Problem("cluster.run_dir", f'found "{value}": there is no such home')]
        ) from None


def ask(config_file: Path, method: str, *args: Any, timeout: float | None = 10.0) -> Any:
    """One request to the launcher of this configuration, without an event loop: it is what most verbs come to.

    Raises as `Control` does, and what the launcher refuses.
    """
    run_dir = find_run_dir(config_file)
    wrong: ControlAddress | None = None
    while True:
        address = find_launcher(run_dir, wrong)
        try:
            return control_client.ask(
                address,
                run_dir.security(),
                method,
                *args,
                timeout=timeout,
                connect_timeout_s=CONNECT_TIMEOUT_S,
                unreachable=_Unreachable,
            )
        except _Unreachable as unreachable:
            if not _is_anothers(run_dir, address):
                raise _no_connection(run_dir, address.pid, unreachable.error) from None
            wrong = address


class _Unreachable(Exception):
    """There is no connection; `error` is why."""

    def __init__(self, error: LuabusError) -> None:
        super().__init__(str(error))
        self.error = error


def _is_anothers(run_dir: RunDir, address: ControlAddress) -> bool:
    """Whether somebody else than the launcher that holds the lock wrote the address, so that it will be written anew."""
    held = run_dir.holder()
    return held is not None and held.pid != address.pid


def find_launcher(run_dir: RunDir, wrong: ControlAddress | None = None) -> ControlAddress:
    """Where the launcher of this folder listens; not at `wrong`.

    Raises `NotRunning` when there is none. One that holds the lock while control.json tells nothing of it is about to write it:
    it begins just now, or the file was removed or damaged, or the whole folder was. Should it not, `LauncherError` names its pid.
    """
    deadline = time.monotonic() + REWRITTEN_S
    while (address := run_dir.read_control()) in (None, wrong):
        held = run_dir.holder() or _lost(run_dir)
        if held is None:
            raise NotRunning(_not_running(run_dir))
        if time.monotonic() >= deadline:
            raise LauncherError(
                f"the launcher (pid {held.pid or 'unknown'}) runs for {run_dir.path} and {run_dir.control_file.name} does not say"
                f" where it listens; it is stopped, hangs or ends. `kill -CONT {held.pid or 'PID'}` continues a stopped one"
            )
        time.sleep(0.05)
    assert address is not None
    return address


def _lost(run_dir: RunDir) -> Held | None:
    pid = lost_launcher.find(run_dir.path)
    return Held(pid) if pid is not None else None


def _not_running(run_dir: RunDir) -> str:
    return f"no cluster runs for {run_dir.path}; `luabus-cluster up` starts it"


def _no_connection(run_dir: RunDir, pid: int, error: LuabusError) -> LauncherError:
    """Why the launcher could not be reached."""
    if isinstance(error, AuthError):
        return LauncherError(
            f"the launcher (pid {pid}) has another secret than {run_dir.secret_file}; was the file replaced? ({error})"
        )
    if isinstance(error, RequestTimeout) and run_dir.holder() is not None:
        return NoAnswer(pid, CONNECT_TIMEOUT_S)
    return NotRunning(_not_running(run_dir))


class Control:
    """The connection of a verb: `async with Control(run_dir) as control: await control.request("status")`."""

    def __init__(self, run_dir: RunDir, on_log: Callable[[Lines], None] | None = None) -> None:
        self._run_dir = run_dir
        self._on_log = on_log
        self._connection: ControlConnection | None = None
        self._guard_mark = ""

    async def __aenter__(self) -> Self:
        """Raises `NotRunning` when there is no launcher, `NoAnswer` when it is stopped or hangs."""
        import asyncio

        wrong: ControlAddress | None = None
        while self._connection is None:
            address = await asyncio.to_thread(find_launcher, self._run_dir, wrong)
            connection = ControlConnection(address, self._run_dir.security(), self._on_log, CONNECT_TIMEOUT_S)
            try:
                self._connection = await connection.__aenter__()
            except LuabusError as error:
                if not _is_anothers(self._run_dir, address):
                    raise _no_connection(self._run_dir, address.pid, error) from None
                wrong = address
        guard = self._connection.address.guard
        self._guard_mark = process_mark(guard) if guard else ""
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

        guard = self._open.address.guard
        for pid, mark in ((self.pid, self._open.address.mark), (guard or 0, self._guard_mark)):
            while lives(pid, mark):  # noqa: ASYNC110 - nothing tells when somebody else's child is gone
                await asyncio.sleep(0.02)
        if not self._open.ended_in_order:
            raise LauncherError(f"the launcher (pid {self.pid}) was killed, and the cluster ended with it")

    @property
    def is_open(self) -> bool:
        """Whether the launcher is still there."""
        return self._open.is_open

    @property
    def _open(self) -> ControlConnection:
        assert self._connection is not None, "used outside of `async with`"
        return self._connection
