"""The demo cluster, as a user would run it: a copy of `cluster.toml` and `examples/` on free ports, in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import luabus
from launcher.__main__ import run as run_verb
from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """How a verb ended."""

    code: int
    out: str
    err: str


class Demo:
    """The demo of the repository in `folder`; `ttl` shortens the lease, so that a fail-over takes seconds."""

    def __init__(self, folder: Path, *, ttl: float = 2.0, renew: float = 0.25) -> None:
        self.folder = folder
        self.port = free_ports(3)
        self.http = self.port + 2
        text = (ROOT / "cluster.toml").read_text(encoding="utf-8")
        for pattern, value in {
            r"port = 7070": f"port = {self.port}",
            r"port = 8070": f"port = {self.http}",
            r"ttl = 10.0": f"ttl = {ttl}",
            r"renew = 1.0": f"renew = {renew}",
        }.items():
            text, found = re.subn(pattern, value, text)
            assert found == 1, f"cluster.toml has {found} times {pattern!r}"
        (folder / "cluster.toml").write_text(text, encoding="utf-8")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))

    @property
    def routers(self) -> list[str]:
        return [f"127.0.0.1:{self.port}", f"127.0.0.1:{self.port + 1}"]

    async def verb(self, *words: str, patience_s: float = 60.0) -> Done:
        """Run `luabus-cluster` with these words in the demo's folder."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "launcher", *words,
            cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        )  # fmt: skip
        async with asyncio.timeout(patience_s):
            out, err = await child.communicate()
        return Done(child.returncode or 0, out.decode(), err.decode())

    async def json(self, *words: str) -> Any:
        """What a verb prints with `--json`; run in this process, which is quicker by a Python's start."""
        out = io.StringIO()

        def run() -> None:
            with contextlib.redirect_stdout(out):
                run_verb(["-c", str(self.folder / "cluster.toml"), *words, "--json"])

        await asyncio.to_thread(run)
        return json.loads(out.getvalue())

    async def pid(self, name: str) -> int:
        """The process id of `name` now."""
        rows = (await self.json("status"))["processes"]
        return int(next(row["pid"] for row in rows if row["name"] == name))

    async def hit(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to `name` behind the launcher's back; returns the pid that got it."""
        pid = await self.pid(name)
        os.kill(pid, number)
        return pid

    def client(self) -> Any:
        """A plain client of the bus."""
        return luabus.connect(self.routers, secret_file=self.folder / ".luabus/secret")

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this cluster, wherever it hangs in the process tree."""
        mark = str(self.folder)
        found = []
        for process in psutil.process_iter():
            try:
                if mark in " ".join(process.cmdline()) or process.environ().get(
                    "LUABUS_RUN_DIR", ""
                ).startswith(mark):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return [
            process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]
