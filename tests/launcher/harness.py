"""Driving `luabus-cluster` from a test: write a file, run verbs, look at processes, wait for what must come."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from launcher.__main__ import run as run_verb
from launcher.errors import NotRunning
from launcher.processes import orphans
from launcher.runtime.control_client import Control
from launcher.runtime.run_dir import RunDir
from luabus.cluster.control_client import ControlAddress
from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests/support/scripted_child.py"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Done:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def child(*words: str) -> list[str]:
    """The command of a scripted child; `{python}` start-up is kept short."""
    return [sys.executable, "-S", "-E", str(CHILD), *words]


def until(
    condition: Callable[[], object], what: str | Callable[[], str], patience_s: float = PATIENCE_S
) -> Any:
    """Waits for `condition()` to be true, and returns its value. For what only looking tells: other processes.

    `what` is waited for; a function is asked only when it did not come.
    """
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """A living process, not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ClusterRun:
    """One cluster.toml and whatever runs from it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.file = folder / "cluster.toml"
        self.run_dir = RunDir(folder / ".luabus")
        self.router_port = free_ports(4)
        self.dashboard_port = self.router_port + 3
        self._launchers: list[subprocess.Popen[str]] = []

    # -- the file ---------------------------------------------------------------------------------------------

    def write(
        self,
        services: Mapping[str, Mapping[str, Any]],
        *,
        routers: int = 1,
        dashboard: bool = False,
        extra: str = "",
        cluster: str = "",
    ) -> None:
        """cluster.toml with these services; values are written as JSON, which TOML's own are close enough to."""
        text = (
            f'[cluster]\nname = "test"\n{cluster}\n[routers]\ncount = {routers}\nport = {self.router_port}\n'
        )
        text += f"[dashboard]\nenabled = {str(dashboard).lower()}\nport = {self.dashboard_port}\n{extra}\n"
        for name, keys in services.items():
            text += f"[services.{name}]\n"
            text += "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
        self.file.write_text(text)

    def module(self, name: str, text: str) -> None:
        """A Python module beside cluster.toml."""
        (self.folder / f"{name}.py").write_text(text)

    # -- verbs ------------------------------------------------------------------------------------------------

    def __call__(self, *arguments: str) -> Done:
        """Runs one verb to its end: `up` as a process, all others in this one, which is quicker by a Python's start."""
        return self.process_of(*arguments) if "up" in arguments else self._here(arguments)

    def process_of(self, *arguments: str) -> Done:
        """Runs one verb as a process."""
        done = subprocess.run(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=self.folder.parent,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _here(self, arguments: Sequence[str]) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_verb(["-c", str(self.file), *arguments])
        return Done(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str) -> Done:
        """Runs one verb that must succeed."""
        done = self(*arguments)
        assert done.code == 0, (arguments, done)
        return done

    def foreground(self, *options: str) -> subprocess.Popen[str]:
        """`up` in the foreground, its output in pipes."""
        launcher = subprocess.Popen(
            self._command(["up", *options]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._launchers.append(launcher)
        return launcher

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "launcher", "-c", str(self.file), *arguments]

    # -- looking ----------------------------------------------------------------------------------------------

    @property
    def launcher_pid(self) -> int:
        """The process that supervises; see control.json."""
        control = until(self.run_dir.read_control, "control.json")
        assert isinstance(control, ControlAddress)
        return control.pid

    def request(self, method: str, *args: Any, timeout: float = 60.0) -> Any:
        """Asks the launcher as the command line does, without the start of a process. Raises what it refuses."""

        async def work() -> Any:
            async with Control(self.run_dir) as control:
                return await control.request(method, *args, timeout=timeout)

        return asyncio.run(work())

    def status(self) -> dict[str, Any]:
        """The launcher's status, as `status --json` has it."""
        try:
            found: dict[str, Any] = self.request("status")
        except NotRunning:
            return {"state": "not running", "processes": []}
        return found

    def process(self, name: str) -> dict[str, Any]:
        """One row of the status."""
        row: dict[str, Any] = next(row for row in self.status()["processes"] if row["name"] == name)
        return row

    def until_state(self, name: str, state: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Waits until a process is in this state, also for a launcher that is not there yet; its row."""
        row: dict[str, Any] = until(
            lambda: next(
                (r for r in self.status()["processes"] if r["name"] == name and r["state"] == state), None
            ),
            lambda: f"{name} is {state}: {self.status()}",
            patience_s,
        )
        return row

    def log(self, name: str) -> str:
        """All lines of a process' log, as text."""
        return self("logs", "--raw", "-n", "10000", name).out

    def pids(self, file: str) -> list[int]:
        """Pids that scripted children wrote into a file of the cluster's folder."""
        path = self.folder / file
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    # -- the end ----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Stops whatever still runs, and kills what does not stop."""
        if self.run_dir.read_control() is not None:
            self("down")
        for launcher in self._launchers:
            if launcher.poll() is None:
                launcher.send_signal(signal.SIGKILL)
            launcher.wait(10)
            if launcher.stdout is not None:
                launcher.stdout.close()
        orphans.end(self.run_dir, 0.1)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)
