"""The control channel, command line's side: which launcher a configuration means, and why that cannot be reached."""

from __future__ import annotations

import contextlib
import os
import re
import signal
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
from luabus.cluster.run_record import lives, process_mark, stands_still
from luabus.errors import AuthError, LuabusError, RequestTimeout

CONNECT_TIMEOUT_S = 5.0

REWRITTEN_S = 3.0
"""So long a launcher may take to write control.json anew; it looks every second."""

TURNED_AWAY_S = 2.0
TURNED_AWAY_PAUSE_S = 0.1
"""A launcher that turns connections away is asked so often, for so long: others go meanwhile."""

LOOK_AGAIN_S = 0.02
STOPPED_S = 1.0
"""So long a watchdog that stands still may take to end after it was told to go on."""

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
    patience = time.monotonic() + TURNED_AWAY_S
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
            if _is_anothers(run_dir, address):
                wrong = address
            elif _turns_away(run_dir, unreachable.error, patience):
                time.sleep(TURNED_AWAY_PAUSE_S)
            else:
                raise _no_connection(run_dir, address.pid, unreachable.error) from None


class _Unreachable(Exception):
    """There is no connection; `error` is why."""

    def __init__(self, error: LuabusError) -> None:
        super().__init__(str(error))
        self.error = error


def _is_anothers(run_dir: RunDir, address: ControlAddress) -> bool:
    """Whether somebody else than the launcher that holds the lock wrote the address, so that it will be written anew."""
    held = run_dir.holder()
    return held is not None and held.pid != address.pid


def _turns_away(run_dir: RunDir, error: LuabusError, patience: float) -> bool:
    """Whether the launcher lives and closes connections at once, for want of descriptors or places; not for too long."""
    refused = isinstance(error, AuthError | RequestTimeout)
    return not refused and time.monotonic() < patience and run_dir.holder() is not None


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
    if run_dir.holder() is not None and run_dir.read_control() is not None:
        if isinstance(error, RequestTimeout):
            return NoAnswer(pid, CONNECT_TIMEOUT_S)
        return LauncherError(
            f"the launcher (pid {pid}) runs and turns connections away: it has no descriptor or place left for one ({error});"
            f" `kill {pid}` stops the cluster all the same"
        )
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
        patience = time.monotonic() + TURNED_AWAY_S
        while self._connection is None:
            address = await asyncio.to_thread(find_launcher, self._run_dir, wrong)
            connection = ControlConnection(address, self._run_dir.security(), self._on_log, CONNECT_TIMEOUT_S)
            try:
                self._connection = await connection.__aenter__()
            except LuabusError as error:
                if _is_anothers(self._run_dir, address):
                    wrong = address
                elif _turns_away(self._run_dir, error, patience):
                    await asyncio.sleep(TURNED_AWAY_PAUSE_S)
                else:
                    raise _no_connection(self._run_dir, address.pid, error) from None
        guard = self._connection.address.guard
        self._guard_mark = process_mark(guard) if guard else ""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.close()

    @property
    def killed(self) -> list[str]:
        """After `closed`: what did not end when the cluster stopped, and was killed."""
        return self._open.killed

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
            stood_still: float | None = None
            while lives(pid, mark):  # nothing tells when somebody else's child is gone
                await asyncio.sleep(LOOK_AGAIN_S)
                if pid != guard or not stands_still(pid):
                    continue
                # Ctrl-Z stopped it; it has nothing left to do but to clean up.
                stood_still = stood_still or time.monotonic()
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGCONT)
                if time.monotonic() - stood_still > STOPPED_S:
                    break
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
