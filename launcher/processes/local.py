"""The backend of this machine: processes of the operating system, each with all that descends from it.

A process is gone when nothing of its tree lives. So when it ends, its tree is looked at until it is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from launcher.processes import orphans, process_tree
from launcher.processes.backend import Handle, Listener, ProcessIdentity, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.spawn_posix import Child, ChildListener, PosixSpawner
from launcher.processes.spawn_threads import ThreadSpawner
from launcher.processes.usage import FRESH_S, Member, Meter, Usage, count
from launcher.runtime.run_dir import RunDir

FIRST_LOOK_S: Final = 0.005
LONGEST_PAUSE_S: Final = 0.25
"""How often the tree of an ended process is looked at until it is empty: soon at first, then less often."""


class Spawner(Protocol):
    """Starts single processes: by fork (`posix.py`) or without (`threads.py`)."""

    @property
    def adopts(self) -> bool:
        """True when orphaned descendants become children of this process."""

    @property
    def own(self) -> Collection[int]:
        """The pids of the children that were started here and have not ended."""

    def strangers(self) -> set[int] | None:
        """Other direct children: adopted orphans. None when the system does not tell."""

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

    async def end_marked(self, owner: str, within_s: float) -> Sequence[int]:
        return sorted(await process_tree.end(lambda: process_tree.marked(owner), within_s))

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
        self._listener: Listener | None = listener
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._killing = False
        self._look_again: asyncio.TimerHandle | None = None
        marked = {**request.env, process_tree.MARKER: request.owner} if request.owner else request.env
        self._child = spawner.spawn(replace(request, env=marked), self)
        self._started = process_tree.started_at(self._child.pid)
        self._meter = Meter(self._members, self._loop.time)

    # -- a Handle ---------------------------------------------------------------------------------------------

    @property
    def identity(self) -> ProcessIdentity:
        pid = self._child.pid
        if self._started is None and self._running:
            self._started = process_tree.started_at(pid)  # at first nobody could look
        return ProcessIdentity(pid, self._started)

    def signal(self, number: int) -> None:
        if not self._running:
            raise ProcessLookupError
        os.kill(self._child.pid, number)

    def terminate(self, number: int, *, group: bool = True) -> None:
        if not self._running:
            self._send(number)
        elif group:
            self._signal_group(number)
        else:
            process_tree.send((self._child.pid,), number)
        if hasattr(signal, "SIGCONT"):
            # A stopped process would not see the signal before somebody continues it.
            if self._running:
                self._signal_group(signal.SIGCONT)
            else:
                self._send(signal.SIGCONT)

    def kill_all(self) -> None:
        self._killing = True
        if self._running:
            self._signal_group(process_tree.KILL)
        self._send(process_tree.KILL)

    def usage(self) -> Usage:
        return self._meter.measure() if self._running else Usage()

    def close(self) -> None:
        self._listener = None
        if self._request.helper:
            return  # what it leaves behind is ended all the same
        if self._look_again is not None:
            self._look_again.cancel()
        self._child.close()

    # -- a ChildListener --------------------------------------------------------------------------------------

    def output(self, stream: str, chunk: bytes) -> None:
        if self._listener is not None:
            self._listener.output(stream, chunk)

    def exited(self, status: ExitStatus) -> None:
        self._running = False
        if self._request.helper:
            left_behind = []
            self._end_all()
        elif left_behind := sorted(self._living(0.0)):
            self._look_again = self._loop.call_later(FIRST_LOOK_S, self._sweep, FIRST_LOOK_S)
        else:
            self._child.close()
        if self._listener is not None:
            self._listener.exited(status, left_behind)

    # -- within -----------------------------------------------------------------------------------------------

    def _end_all(self) -> None:
        """What a helper left behind. Probes end often: they share their looks, and mostly need none."""
        self._killing = True
        if hasattr(os, "killpg"):
            self._signal_group(process_tree.KILL)
        if self._spawner.adopts and self._spawner.strangers() == set():
            self._child.close()
        else:
            pause_s = process_tree.LOOK_FRESH_S
            self._look_again = self._loop.call_later(pause_s, self._sweep, pause_s)

    def _sweep(self, pause_s: float) -> None:
        remaining = self._living()
        if not remaining:
            self._child.close()
            if self._listener is not None:
                self._listener.gone()
            return
        if self._killing:
            self._send(process_tree.KILL, remaining)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._look_again = self._loop.call_later(pause_s, self._sweep, pause_s)

    def _living(self, most_s: float = process_tree.LOOK_FRESH_S) -> set[int]:
        """The pids of its tree. When nobody can look (no descriptor, no memory), of its group only whether there is one: that by
        itself, in the place of the pids."""
        try:
            strangers = self._spawner.strangers() if self._spawner.adopts else set()
            if not self._running and self._spawner.adopts and strangers == set():
                return set()  # all orphans come to us, and there are none
            kin = self._table.kinship(most_s)
            adopted = kin.children(os.getpid()) if strangers is None else strangers
            return kin.living(self._tree(kin, adopted))
        except (OSError, MemoryError):
            return {self._child.pid} if _has_group(self._child.pid) else set()

    def _tree(self, kin: process_tree.Kinship, adopted: Iterable[int]) -> set[int]:
        marker = self._request.owner or None
        return process_tree.members(
            kin, self._child.pid, self.identity.started, marker, adopted, self._table.marks_of
        )

    def _members(self) -> list[Member]:
        """One look serves all that are measured in the same half second."""
        try:
            kin = self._table.kinship(FRESH_S / 2)
            if self._child.pid not in kin.everyone:
                kin = self._table.kinship()
            adopted = self._table.adopted(self._spawner.own) if self._spawner.adopts else ()
            tree = self._tree(kin, adopted)
        except (OSError, MemoryError):
            return []
        members = []
        for pid in tree:
            info = kin.everyone[pid]
            used = info.used or count(pid)
            if used is not None:
                members.append(Member(pid, (pid, info.started), info.parent, used))
        return members

    def _send(self, number: int, pids: Iterable[int] | None = None) -> None:
        """To all of its tree that can be seen, and to its group, which needs no look; not to a later owner of its pid."""
        pids = set(self._living() if pids is None else pids)
        own = self._child.pid
        if own in pids and not self._running:
            self._signal_group(number)
            pids.discard(own)
        process_tree.send(pids, number)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._child.pid, number)
            else:
                os.kill(self._child.pid, number)


def _has_group(leader: int) -> bool:
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
