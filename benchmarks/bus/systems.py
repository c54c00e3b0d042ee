"""The systems that are compared: how each one's processes are started.

Authentication and statistics are on in luabus and nats-server.
"""

from __future__ import annotations

import resource
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from benchmarks.children import BenchmarkError, Cast, Child, Program, free_port
from benchmarks.progress import Progress

SLOTS = 4
"""Receivers by hash, and targets of the shuffled load."""


class Stage:
    """One system on stage: its router and whichever roles a measure needs. Leaving it ends them all."""

    name = ""
    title = ""
    roles = ""
    """The module of its sender and receiver."""
    loop = "uvloop"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="luabus-bench-"))
        self.cast = Cast()
        self.port = free_port()
        self.secret = secrets.token_hex(16)
        self.progress_file = self.folder / "progress"
        Progress.create(self.progress_file)
        self.sender: Child | None = None
        self.router: Program | None = None

    def __enter__(self) -> Stage:
        try:
            self.router = self.start_router()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cast.stop()
        shutil.rmtree(self.folder)

    @classmethod
    def missing(cls) -> str:
        """What must be installed before this system can be measured; "" when nothing."""
        return ""

    def start_router(self) -> Program | None:
        """Start the router, server or broker."""
        raise NotImplementedError

    def enter(self, receivers: list[int]) -> None:
        """Start one process per number, with so many receivers each, and then the sender."""
        first = 0
        for count in receivers:
            self.cast.child(
                f"{self.roles}:receiver", loop=self.loop, port=self.port, secret=self.secret,
                progress=str(self.progress_file), first=first, count=count,
            )  # fmt: skip
            first += count
        self.sender = self.cast.child(
            f"{self.roles}:sender", loop=self.loop, port=self.port, secret=self.secret, progress=str(self.progress_file)
        )  # fmt: skip

    def cpu_s(self) -> float:
        """Processor time of all its processes so far."""
        return self.cast.cpu_s()

    def enter_raw(self, receivers: int) -> None:
        """Start raw receivers, and a raw sender."""
        for first in range(receivers):
            self.raw("receiver", progress=str(self.progress_file), first=first)
        self.sender = self.raw("sender", progress=str(self.progress_file), receivers=receivers)

    def raw(self, role: str, **options: object) -> Child:
        """Start one raw role."""
        return self.cast.child(f"raw:{role}", system=self.name, port=self.port, secret=self.secret, **options)


class Luabus(Stage):
    name = "luabus"
    title = "luabus"
    roles = "luabus_bus"

    def start_router(self) -> Program:
        secret_file = self.folder / "secret"
        secret_file.touch(0o600)
        secret_file.write_text(self.secret)
        router = self.cast.program(
            sys.executable, "-m", "luabus", "router", "--listen", f"127.0.0.1:{self.port}",
            "--secret-file", str(secret_file), log=self.folder / "router.log",
        )  # fmt: skip
        router.wait_for_port(self.port)
        return router


class Nats(Stage):
    name = "nats"
    title = "nats-server, nats-py"
    roles = "nats_client"

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("nats-server") else "nats-server (Debian package nats-server)"

    def start_router(self) -> Program:
        router = self.cast.program(
            "nats-server", "-a", "127.0.0.1", "-p", str(self.port), "--auth", self.secret,
            log=self.folder / "router.log",
        )  # fmt: skip
        router.wait_for_port(self.port)
        return router


class NatsAsyncio(Nats):
    """nats-py as most programs run it: on asyncio's own loop."""

    title = "the same on asyncio's loop"
    loop = "asyncio"


class Zmq(Stage):
    name = "zmq"
    title = "ROUTER broker, pyzmq"
    roles = "zmq_broker"

    def start_router(self) -> None:
        self.cast.child("zmq_broker:broker", port=self.port)


class Floor(Stage):
    """Bare sockets, `hops` of them for a round trip."""

    hops = 4
    roles = "floor"

    def start_router(self) -> None:
        return None

    def enter(self, receivers: list[int]) -> None:
        self.cast.child("floor:echo", loop=self.loop, port=self.port)
        port = self.port
        if self.hops == 4:
            port = free_port()
            self.cast.child("floor:relay", loop=self.loop, port=port, to=self.port)
        self.sender = self.cast.child("floor:client", loop=self.loop, port=port)


class FloorTwo(Floor):
    name = "floor2"
    title = "bare uvloop, two hops"
    hops = 2


class FloorFour(Floor):
    name = "floor4"
    title = "bare uvloop, four hops"


class FloorFourAsyncio(Floor):
    name = "floor4-asyncio"
    title = "bare asyncio, four hops"
    loop = "asyncio"


NatsAsyncio.name = "nats-asyncio"
ALL: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Luabus, Nats, NatsAsyncio, Zmq, FloorTwo, FloorFour, FloorFourAsyncio)
}


def check(names: list[str]) -> None:
    """Raises `BenchmarkError` when one of the systems cannot be measured here."""
    missing = [text for name in names if (text := ALL[name].missing())]
    if missing:
        raise BenchmarkError(
            f"these systems are not installed: {', '.join(missing)}; install them, or choose with --system"
        )


def raise_file_limit() -> int:
    """Allow as many open files as this user may have; children inherit it. Returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
