"""Starting one process and hearing of its output and its end.

Two spawners with one face. `PosixSpawner` forks: the child gets a session of its own, dies with the launcher (Linux:
PR_SET_PDEATHSIG), and its end is known from SIGCHLD. `ThreadSpawner` uses threads that wait, for systems without fork.
What belongs to a child beyond its own process is `family.py`'s; when to signal it, `unit.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from launcher.processes import linux, process_tag, process_tree, users
from launcher.processes.exit_status import ExitStatus

READ_SIZE: Final = 64 * 1024

OUTPUT_RATE: Final = 8 * 1024 * 1024
"""Bytes per second taken from one stream of one process; beyond, the pipe fills and the process waits."""


class SpawnError(Exception):
    """The operating system did not start it; the message says why, for people."""


@dataclass(frozen=True)
class SpawnRequest:
    """What to start. `env` is complete: nothing is inherited beside it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str | None = None
    nice: int | None = None
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Listener(Protocol):
    """Who is told. All calls come on the event loop's thread; `exited` once, after the last output that was there."""

    def output(self, stream: str, chunk: bytes) -> None:
        """A chunk of `out` or `err`."""

    def exited(self, status: ExitStatus) -> None:
        """The process ended; others of its family may live on and hold its pipes."""


class Child(Protocol):
    """A started process."""

    @property
    def pid(self) -> int: ...

    @property
    def started(self) -> float | None:
        """See `family.started_at`."""

    def close(self) -> None:
        """Takes what its pipes still hold, then closes them."""


class Spawner(Protocol):
    """Starts processes."""

    def spawn(self, order: SpawnRequest, sink: Listener) -> Child:
        """Raises `SpawnError`."""

    def close(self) -> None:
        """Hears of nothing any more. The children are not ended by this."""


class PosixSpawner:
    """For Linux, macOS and the BSDs. Makes itself the adopter of orphans below it where there is such a thing.

    `adopt` False leaves children it did not start to others (for use inside another program).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, adopt: bool) -> None:
        self._loop = loop
        self._children: dict[int, _PosixChild] = {}
        self._adopt = adopt and linux.become_subreaper()
        self.census = process_tree.ProcessTable()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    @property
    def adopts(self) -> bool:
        """True when orphaned descendants become children of this process."""
        return self._adopt

    def strangers(self) -> set[int] | None:
        """Direct children that were not started here: adopted orphans. None when the system does not tell."""
        children = linux.direct_children() if self._adopt else None
        return None if children is None else children - self._children.keys()

    def spawn(self, order: SpawnRequest, sink: Listener) -> Child:
        prepare = _preparation(order)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            try:
                process = subprocess.Popen(
                    order.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out_write,
                    stderr=err_write,
                    cwd=order.cwd,
                    env=order.env,
                    start_new_session=True,
                    preexec_fn=prepare,
                )
            finally:
                os.close(out_write)
                os.close(err_write)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = os.read(err_read, READ_SIZE).decode(errors="replace")
            os.close(out_read)
            os.close(err_read)
            reason = f"{order.argv[0]!r} could not be given {said}" if said else _why(order, error)
            raise SpawnError(reason) from None
        child = _PosixChild(self._loop, process, sink, out_read, err_read)
        self._children[process.pid] = child
        return child

    def close(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)
        for child in self._children.values():
            child.close()
        self._children.clear()

    def _reap(self) -> None:
        if not self._adopt:
            for pid in list(self._children):
                with contextlib.suppress(ChildProcessError):
                    self._reaped(*os.waitpid(pid, os.WNOHANG))
            return
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._reaped(pid, status)

    def _reaped(self, pid: int, status: int) -> None:
        child = self._children.pop(pid, None) if pid else None
        if child is not None:
            child.ended(os.waitstatus_to_exitcode(status))


class _PosixChild:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        process: subprocess.Popen[bytes],
        sink: Listener,
        out: int,
        err: int,
    ) -> None:
        self.pid = process.pid
        self.started = process_tree.started_at(process.pid)
        self._process = process
        self._sink = sink
        self._pipes = [_Pipe(loop, out, "out", sink), _Pipe(loop, err, "err", sink)]

    def ended(self, returncode: int) -> None:
        # We waited for it ourselves; without this, Popen would complain when it is collected.
        self._process.returncode = returncode
        for pipe in self._pipes:
            pipe.drain()
        self._sink.exited(ExitStatus.from_wait(returncode))

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()


class _Pipe:
    """The reading end of one stream, slowed to OUTPUT_RATE."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, stream: str, sink: Listener) -> None:
        os.set_blocking(descriptor, False)
        self._loop = loop
        self._descriptor = descriptor
        self._stream = stream
        self._sink = sink
        self._second = 0.0
        self._taken = 0
        self._resume: asyncio.TimerHandle | None = None
        loop.add_reader(descriptor, self._readable)

    def drain(self) -> None:
        """Takes what is there now, up to a second's worth."""
        taken = 0
        while taken < OUTPUT_RATE and (size := self._read()):
            taken += size

    def close(self) -> None:
        if self._descriptor >= 0:
            self.drain()
        self._shut()

    def _shut(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _readable(self) -> None:
        self._taken += self._read()
        now = self._loop.time()
        if now - self._second >= 1.0:
            self._second, self._taken = now, 0
        elif self._taken >= OUTPUT_RATE and self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._resume = self._loop.call_at(self._second + 1.0, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._loop.add_reader(self._descriptor, self._readable)

    def _read(self) -> int:
        if self._descriptor < 0:
            return 0
        try:
            chunk = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return 0
        except OSError:
            chunk = b""
        if chunk:
            self._sink.output(self._stream, chunk)
        else:
            self._shut()
        return len(chunk)


class ThreadSpawner:
    """For systems without fork and SIGCHLD: three threads per child."""

    adopts = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.census = process_tree.ProcessTable()

    def strangers(self) -> set[int] | None:
        return None

    def spawn(self, order: SpawnRequest, sink: Listener) -> Child:
        if order.user is not None or order.rlimits:
            raise SpawnError("user and rlimits need a POSIX system")
        group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        try:
            process = subprocess.Popen(
                order.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=order.cwd,
                env=order.env,
                creationflags=group,
                start_new_session=not group,
            )
        except (OSError, ValueError) as error:
            raise SpawnError(_why(order, error)) from None
        return _ThreadChild(self._loop, process, sink)

    def close(self) -> None:
        return


class _ThreadChild:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], sink: Listener
    ) -> None:
        self.pid = process.pid
        self.started = process_tree.started_at(process.pid)
        self._loop = loop
        self._process = process
        self._sink = sink
        readers = [
            threading.Thread(target=self._read, args=(pipe, name), daemon=True)
            for pipe, name in ((process.stdout, "out"), (process.stderr, "err"))
        ]
        for thread in (*readers, threading.Thread(target=self._wait, args=(readers,), daemon=True)):
            thread.start()

    def close(self) -> None:
        """The threads close the pipes when they reach their ends."""

    def _read(self, pipe: object, stream: str) -> None:
        descriptor = pipe.fileno()  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            while chunk := os.read(descriptor, READ_SIZE):
                self._tell(self._sink.output, stream, chunk)
        pipe.close()  # type: ignore[attr-defined]

    def _wait(self, readers: list[threading.Thread]) -> None:
        returncode = self._process.wait()
        for thread in readers:
            thread.join(0.5)
        self._tell(self._sink.exited, ExitStatus.from_wait(returncode))

    def _tell(self, call: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call, *args)


def make_spawner(loop: asyncio.AbstractEventLoop, *, adopt: bool = True) -> PosixSpawner | ThreadSpawner:
    """The spawner for this system."""
    return PosixSpawner(loop, adopt=adopt) if os.name == "posix" else ThreadSpawner(loop)


def _why(order: SpawnRequest, error: Exception) -> str:
    program = order.argv[0]
    if isinstance(error, FileNotFoundError):
        if not os.path.isdir(order.cwd):
            return f"its folder {order.cwd} does not exist"
        return f"there is no program {program!r} (looked in PATH and, for a path, from {order.cwd})"
    if isinstance(error, PermissionError):
        return f"{program!r} may not be executed from {order.cwd} by this user"
    return f"{program!r} could not be started: {getattr(error, 'strerror', None) or error}"


def _preparation(order: SpawnRequest) -> Callable[[], None]:
    """What the forked child does before it becomes the program. What can be looked up is looked up here.

    The child says on stderr what it could not do: of its exception the parent hears no more than that there was one.
    """
    import resource

    steps: list[tuple[str, Callable[[], None]]] = [
        (f"rlimits: {name} = {list(limit)}", partial(resource.setrlimit, _limit_number(name), limit))
        for name, limit in order.rlimits.items()
    ]
    if order.nice is not None:
        steps.append((f"nice = {order.nice}", partial(os.setpriority, os.PRIO_PROCESS, 0, order.nice)))
    if order.user is not None:
        try:
            identity = users.identity(order.user)
        except users.UserError as error:
            raise SpawnError(str(error)) from None
        if identity is not None:
            steps.append((f"user = {order.user!r}", identity.take_on))
    marker = order.env.get(process_tree.MARKER)
    if marker and (branding := process_tag.limit(marker)) is not None:
        steps.insert(0, ("its brand", partial(resource.setrlimit, *branding)))
    parent = os.getpid()
    # A shell's background job ignores SIGINT and SIGQUIT, under nohup SIGHUP: what is started here shall not inherit that.
    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]

    def prepare() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for what, step in steps:
            try:
                step()
            except (OSError, ValueError) as error:
                os.write(2, f"{what}: {getattr(error, 'strerror', None) or error}".encode())
                raise
        linux.die_with(parent)  # last: a change of user takes it back

    return prepare


def _limit_number(name: str) -> int:
    import resource

    number = getattr(resource, f"RLIMIT_{name.upper()}", None)
    if number is None:
        known = sorted(key[7:].lower() for key in dir(resource) if key.startswith("RLIMIT_"))
        raise SpawnError(f"there is no resource limit {name!r}; allowed: {', '.join(known)}")
    return int(number)
