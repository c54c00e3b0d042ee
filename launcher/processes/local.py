"""The backend of this machine: processes of the operating system, each with all that descends from it.

A process is gone when nothing of its tree lives. So when it ends, its tree is looked at until it is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from launcher.processes import orphans, process_tree
from launcher.processes.backend import Handle, Listener, ProcessIdentity, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.spawn_posix import Child, ChildListener, PosixSpawner
from launcher.processes.spawn_threads import ThreadSpawner
from launcher.processes.usage import Meter, Usage
from launcher.runtime.run_dir import RunDir

FIRST_LOOK_S: Final = 0.005
LONGEST_PAUSE_S: Final = 0.25
"""How often the tree of an ended process is looked at until it is empty: soon at first, then less often."""


class Spawner(Protocol):
    """Starts single processes: by fork (`posix.py`) or without (`threads.py`)."""

    @property
    def adopts(self) -> bool:
        """True when orphaned descendants become children of this process."""

    def strangers(self) -> set[int] | None:
        """Direct children that were not started here: adopted orphans. None when the system does not tell."""

    def spawn(self, request: SpawnRequest, listener: ChildListener) -> Child:
        """Raises `SpawnError`."""

    def close(self) -> None:
        """Hears of nothing any more. The children are not ended by this."""


class LocalBackend:
    """See `Backend`. Makes this process the adopter of orphans below it where there is such a thing; `adopt` False leaves
    children it did not start to others (for use inside another program)."""

    def __init__(self, *, adopt: bool = True) -> None:
        self._adopt = adopt
        self._table = process_tree.ProcessTable()
        self._spawner: Spawner | None = None

    def leftovers(self, run_dir: RunDir) -> int:
        return orphans.end(run_dir)

    def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._spawner = PosixSpawner(loop, adopt=self._adopt) if os.name == "posix" else ThreadSpawner(loop)

    def spawn(self, request: SpawnRequest, listener: Listener) -> Handle:
        assert self._spawner is not None, "it was not opened"
        return _LocalHandle(self._spawner, self._table, request, listener)

    async def end_strays(self, within_s: float) -> Sequence[int]:
        if self._spawner is None or not self._spawner.adopts:
            return ()
        own = os.getpid()
        left = await process_tree.end(lambda: process_tree.descendants(process_tree.look(), own), within_s)
        return sorted(left)

    def close(self) -> None:
        if self._spawner is not None:
            self._spawner.close()
            self._spawner = None


class _LocalHandle:
    def __init__(
        self,
        spawner: Spawner,
        table: process_tree.ProcessTable,
        request: SpawnRequest,
        listener: Listener,
    ) -> None:
        self._spawner = spawner
        self._table = table
        self._request = request
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._killing = False
        self._look_again: asyncio.TimerHandle | None = None
        marked = {**request.env, process_tree.MARKER: request.owner} if request.owner else request.env
        self._child = spawner.spawn(replace(request, env=marked), self)
        pid = self._child.pid
        self.identity = ProcessIdentity(pid, process_tree.started_at(pid))
        self._meter = Meter(pid, self._loop.time)

    # -- a Handle ---------------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        if not self._running:
            raise ProcessLookupError
        os.kill(self.identity.pid, number)

    def terminate(self, number: int) -> None:
        if self._running:
            self._signal_group(number)
        else:
            process_tree.send(self._tree(), number)
        if hasattr(signal, "SIGCONT"):
            # A stopped process would not see the signal before somebody continues it.
            self._signal_group(signal.SIGCONT)

    def kill_all(self) -> None:
        self._killing = True
        if self._running:
            self._signal_group(process_tree.KILL)
        process_tree.send(self._tree(), process_tree.KILL)

    def usage(self) -> Usage:
        return self._meter.measure() if self._running else Usage()

    def close(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
        self._child.close()

    # -- a ChildListener --------------------------------------------------------------------------------------

    def output(self, stream: str, chunk: bytes) -> None:
        self._listener.output(stream, chunk)

    def exited(self, status: ExitStatus) -> None:
        self._running = False
        left_behind = sorted(self._tree(fresh=True))
        if left_behind:
            self._look_again = self._loop.call_later(FIRST_LOOK_S, self._sweep, FIRST_LOOK_S)
        else:
            self._child.close()
        self._listener.exited(status, left_behind)

    # -- within -----------------------------------------------------------------------------------------------

    def _sweep(self, pause_s: float) -> None:
        remaining = self._tree()
        if not remaining:
            self._child.close()
            self._listener.gone()
            return
        if self._killing:
            process_tree.send(remaining, process_tree.KILL)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._look_again = self._loop.call_later(pause_s, self._sweep, pause_s)

    def _tree(self, *, fresh: bool = False) -> set[int]:
        if self._request.helper or (not self._running and self._spawner.strangers() == set()):
            return set()  # in the second case: all orphans come to us, and there are none
        return process_tree.members(
            self._table.everyone(fresh=fresh),
            self.identity.pid,
            self.identity.started,
            self._request.owner or None,
            os.getpid() if self._spawner.adopts else None,
            self._table.marks_of,
        )

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.identity.pid, number)
            else:
                os.kill(self.identity.pid, number)
