"""`python -m luabus ...` as processes of their own: started, listened to, signalled, waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import psutil

import luabus
from luabus.client.bus import Bus
from tests.support.imports import ROOT
from tests.support.ports import free_ports
from tests.support.waiting import until

SECRET = b"the secret of the tests' programs"
CALLED = "tests.support.called:service"


class Program:
    """One process. `said` are the lines it has written so far, to both streams."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *arguments: str, cwd: Path = ROOT, **environment: str) -> Self:
        """`python -m luabus ARGUMENTS`, in the folder `cwd`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "luabus", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL,
            cwd=cwd, env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )  # fmt: skip
        return cls(process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(line.decode(errors="replace").rstrip())
            self._news.set()
        self._news.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        return "\n".join(self.said)

    @property
    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    async def says(self, pattern: str, timeout_s: float = 30.0) -> re.Match[str]:
        """The first line in which `pattern` is found."""
        async with asyncio.timeout(timeout_s):
            while True:
                for line in self.said:
                    if found := re.search(pattern, line):
                        return found
                assert not self._reader.done(), f"ended without saying {pattern!r}:\n{self.text}"
                self._news.clear()
                await self._news.wait()

    def tell(self, number: int) -> None:
        self._process.send_signal(number)

    async def code(self, timeout_s: float = 30.0) -> int:
        """The exit code, and everything it said in `said`."""
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
            await self._reader
        return code

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and wait."""
        with contextlib.suppress(ProcessLookupError):
            self.tell(number)
        return await self.code()

    async def kill(self) -> None:
        """Whatever state it is in."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.code()


class Cluster:
    """Routers and mail services as processes: `await cluster.router(1)`, `await cluster.mail(2)`; killed with the block."""

    def __init__(self, folder: Path, routers: int = 2) -> None:
        self.secret_file = folder / "secret"
        self.secret_file.write_bytes(SECRET)
        self.secret_file.chmod(0o600)
        self.cluster_file = folder / "cluster.json"
        self.cluster_file.write_text('{"groups": {"mail": [2, 3]}}')
        self.first_port = free_ports(routers)
        self.addresses = [f"127.0.0.1:{self.first_port + index}" for index in range(routers)]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        # uvloop swallows what pytest-timeout raises: whoever waits for ever in a test is told here.
        await self._stack.enter_async_context(asyncio.timeout(110))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def program(self, *arguments: str, **environment: str) -> Program:
        program = await Program.start(*arguments, LUABUS_SECRET_FILE=str(self.secret_file), **environment)
        self._stack.push_async_callback(program.kill)
        return program

    async def router(self, number: int, *options: str) -> Program:
        """Listening; three of mail are expected."""
        program = await self.program(
            "router", "--name", f"router.{number}", "--listen", self.addresses[number - 1],
            "--cluster", str(self.cluster_file), *options,
        )  # fmt: skip
        await program.says("listens at")
        return program

    async def mail(self, instance: int, **environment: str) -> Program:
        """Registered with a router at least."""
        program = await self.program(
            "run", CALLED, LUABUS_SERVICE="mail", LUABUS_GROUP="2", LUABUS_INSTANCE=str(instance),
            LUABUS_ROUTERS=",".join(self.addresses), **environment,
        )  # fmt: skip
        await program.says("is ready")
        return program

    async def client(self, **options: Any) -> Bus:
        """Connected to all routers."""
        bus = await self._stack.enter_async_context(luabus.connect(self.addresses, secret=SECRET, **options))
        await until(lambda: all(link.ready for link in bus.routers))
        return bus
