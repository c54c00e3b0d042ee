"""A backend without processes, for event histories: a test makes them speak, end and leave others behind."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from launcher.processes.backend import Listener, ProcessIdentity, SpawnError, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.usage import Usage
from launcher.runtime.run_dir import RunDir
from launcher.supervision.bus_presence import Presence
from luabus.cluster.snapshot import RouterState, Snapshot
from luabus.cluster.state import ConnectionState, RouterStats


@dataclass(eq=False)
class FakeProcess:
    """One started process, and its handle. `signals` it got so far; it obeys those that are not in `ignores`."""

    pid: int
    request: SpawnRequest
    listener: Listener
    ignores: frozenset[int] = frozenset()
    signals: list[int] = field(default_factory=list)
    whole_group: bool = True
    """Whether it was asked to end together with its group."""
    rss_bytes: int = 0
    alive: bool = True
    stands_still: bool = False
    """From SIGSTOP to SIGCONT: it obeys nothing but SIGKILL until then."""
    _pending: list[int] = field(default_factory=list)
    left_behind: list[int] = field(default_factory=list)
    """Pids that live on when it ends; `sweep` ends them."""

    @property
    def name(self) -> str:
        return self.request.owner.partition("/")[2]

    # -- what a test makes it do ------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        self.listener.output("out", f"{line}\n".encode())

    def exit(self, code: int = 0) -> None:
        self._end(ExitStatus(code=code))

    def sweep(self) -> None:
        if self.left_behind:
            self.left_behind.clear()
            asyncio.get_running_loop().call_soon(self.listener.gone)

    # -- a Handle ---------------------------------------------------------------------------------------------

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, float(self.pid))

    def signal(self, number: int) -> None:
        if not self.alive:
            raise ProcessLookupError
        self.signals.append(number)
        if number == signal.SIGSTOP:
            self.stands_still = True
        elif number == signal.SIGCONT:
            self.stands_still = False
            for one in self._pending:
                self._end(ExitStatus(signal=one))
        elif number not in self.ignores:
            if self.stands_still and number != signal.SIGKILL:
                self._pending.append(number)
            else:
                self._end(ExitStatus(signal=number))

    def terminate(self, number: int, *, group: bool = True) -> None:
        self.whole_group = group
        if self.alive:
            self.signal(number)
        else:
            self.signals.append(number)

    def kill_all(self) -> None:
        self.signals.append(9)
        if self.alive:
            self._end(ExitStatus(signal=9))
        self.sweep()

    def usage(self) -> Usage:
        return Usage(rss_bytes=self.rss_bytes if self.alive else 0)

    def close(self) -> None:
        """Nothing is held."""

    def _end(self, status: ExitStatus) -> None:
        # Never within the call that brings it about, as with real ones.
        asyncio.get_running_loop().call_soon(self._ended, status)

    def _ended(self, status: ExitStatus) -> None:
        if self.alive:
            self.alive = False
            self.listener.exited(status, list(self.left_behind))


class FakeBackend:
    """`started` has every process, oldest first; what is spawned is set up by `on_spawn`, and fails while `refusal` is set, or
    that of one process by `refusals`."""

    def __init__(self, on_spawn: Callable[[FakeProcess], None] = lambda process: None) -> None:
        self.started: list[FakeProcess] = []
        self.on_spawn = on_spawn
        self.refusal = ""
        self.error: Exception | None = None
        """Raised instead, while it is set."""
        self.refusals: dict[str, SpawnError] = {}

    def __getitem__(self, name: str) -> FakeProcess:
        """The newest process of this name."""
        return next(process for process in reversed(self.started) if process.name == name)

    @property
    def alive(self) -> list[str]:
        return [process.name for process in self.started if process.alive]

    def leftovers(self, run_dir: RunDir) -> int:
        return 0

    def open(self) -> None:
        """It needs no event loop."""

    def spawn(self, request: SpawnRequest, listener: Listener) -> FakeProcess:
        if self.error is not None:
            raise self.error
        if (refused := self.refusals.get(request.owner.partition("/")[2])) is not None:
            raise refused
        if self.refusal:
            raise SpawnError(self.refusal)
        process = FakeProcess(1000 + len(self.started), request, listener)
        self.started.append(process)
        self.on_spawn(process)
        return process

    async def end_strays(self, within_s: float) -> Sequence[int]:
        return ()

    async def end_marked(self, owner: str, within_s: float) -> Sequence[int]:
        return ()

    def close(self) -> None:
        """Nothing is held."""


class FakeBusWatch:
    """What the routers say: the test decides who is `connected`, and how often each service id is registered."""

    def __init__(
        self, routers: Sequence[str], groups: Mapping[str, int], secret: bytes, on_change: Callable[[], None]
    ) -> None:
        self.connected: frozenset[str] = frozenset()
        self.registered: dict[str, int] = {}
        self.open_connections: set[str] = set()
        self._on_change = on_change
        self.document: Mapping[str, Any] = {}

    async def start(self) -> None:
        """There is nobody to connect to."""

    async def configure(self, document: Mapping[str, Any]) -> None:
        self.document = document

    async def close(self) -> None:
        """There is nobody to leave."""

    def connect(self, *routers: str) -> None:
        self.connected = frozenset(routers)
        self._on_change()

    def register(self, service_id: str, routers: int) -> None:
        self.registered[service_id] = routers
        self._on_change()

    def presence(self, group: int, instance: int) -> Presence:
        return Presence(self.registered.get(f"{group}.{instance}", 0), len(self.connected))

    async def is_connected(self, group: int, instance: int) -> bool:
        return f"{group}.{instance}" in self.open_connections

    def snapshot(self, cluster: str) -> Snapshot:
        routers = tuple(RouterState(name, "", True, 0.0) for name in sorted(self.connected))
        return Snapshot(cluster, 0.0, routers)

    async def counted(self) -> tuple[dict[str, RouterStats], tuple[ConnectionState, ...]]:
        return {}, ()

    def masters(self) -> dict[int, dict[str, Any]]:
        return {}
