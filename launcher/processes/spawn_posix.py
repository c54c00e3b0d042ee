"""Starting processes by fork and exec, and hearing of their end by SIGCHLD.

A child gets a session of its own and dies with the launcher (Linux: PR_SET_PDEATHSIG). What belongs to it beyond its own
process is `process_tree.py`'s; when to signal it, `local.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Protocol

from launcher.processes import linux, process_tag, users
from launcher.processes.backend import SpawnError, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.pipes import READ_SIZE, OutputPipe
from luabus import descriptors


class ChildListener(Protocol):
    """Who is told: `exited` once, after the last output that was there."""

    def output(self, stream: str, chunk: bytes) -> None:
        """A chunk of `out` or `err`."""

    def exited(self, status: ExitStatus) -> None:
        """The process ended; others of its tree may live on and hold its pipes."""


class Child(Protocol):
    """A started process."""

    @property
    def pid(self) -> int: ...

    def close(self) -> None:
        """Takes what its pipes still hold, then closes them."""


class PosixSpawner:
    """For Linux, macOS and the BSDs. Makes itself the adopter of orphans below it where there is such a thing.

    `adopt` False leaves children it did not start to others (for use inside another program).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, adopt: bool) -> None:
        self._loop = loop
        self._children: dict[int, _PosixChild] = {}
        self._adopt = adopt and linux.become_subreaper()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    @property
    def adopts(self) -> bool:
        """True when orphaned descendants become children of this process."""
        return self._adopt

    def strangers(self) -> set[int] | None:
        """Direct children that were not started here: adopted orphans. None when the system does not tell."""
        children = linux.direct_children() if self._adopt else None
        return None if children is None else children - self._children.keys()

    def spawn(self, request: SpawnRequest, listener: ChildListener) -> Child:
        prepare = _preparation(request)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        opened: dict[str, int] = {}
        try:
            try:
                for variable, path in request.opened.items():
                    opened[variable] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                process = subprocess.Popen(
                    request.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out_write,
                    stderr=subprocess.STDOUT if request.merge_streams else err_write,
                    cwd=request.cwd,
                    env={**request.env, **{name: f"/dev/fd/{number}" for name, number in opened.items()}},
                    pass_fds=tuple(opened.values()),
                    start_new_session=True,
                    preexec_fn=prepare,
                )
            finally:
                for descriptor in (out_write, err_write, *opened.values()):
                    os.close(descriptor)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            complaint = os.read(out_read if request.merge_streams else err_read, READ_SIZE).decode(
                errors="replace"
            )
            os.close(out_read)
            os.close(err_read)
            program = request.argv[0]
            reason = f"{program!r} could not be given {complaint}" if complaint else reason_of(request, error)
            raise SpawnError(reason) from None
        child = _PosixChild(self._loop, process, listener, out_read, err_read)
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
        listener: ChildListener,
        out: int,
        err: int,
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._listener = listener
        self._pipes = [
            OutputPipe(loop, descriptor, partial(listener.output, stream))
            for descriptor, stream in ((out, "out"), (err, "err"))
        ]

    def ended(self, returncode: int) -> None:
        # We waited for it ourselves; without this, Popen would complain when it is collected.
        self._process.returncode = returncode
        for pipe in self._pipes:
            pipe.drain()
        self._listener.exited(ExitStatus.from_wait(returncode))

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()


def reason_of(request: SpawnRequest, error: Exception) -> str:
    """Why it could not be started, for people."""
    program = request.argv[0]
    if isinstance(error, FileNotFoundError):
        if not os.path.isdir(request.cwd):
            return f"its folder {request.cwd} does not exist"
        return f"there is no program {program!r} (looked in PATH and, for a path, from {request.cwd})"
    if isinstance(error, PermissionError):
        return f"{program!r} may not be executed from {request.cwd} by this user"
    return f"{program!r} could not be started: {getattr(error, 'strerror', None) or error}"


def _preparation(request: SpawnRequest) -> Callable[[], None]:
    """What the forked child does before it becomes the program. What can be looked up is looked up here.

    The child says on stderr what it could not do: of its exception the parent hears no more than that there was one.
    """
    import resource

    steps: list[tuple[str, Callable[[], None]]] = []
    if (
        own := descriptors.inherited()
    ) is not None:  # it shall not get the limit that was raised for the launcher
        steps.append(("its limit of open files", partial(resource.setrlimit, resource.RLIMIT_NOFILE, own)))
    steps += [
        (f"rlimits: {name} = {list(limit)}", partial(resource.setrlimit, _limit_number(name), limit))
        for name, limit in request.rlimits.items()
    ]
    if request.nice is not None:
        steps.append((f"nice = {request.nice}", partial(os.setpriority, os.PRIO_PROCESS, 0, request.nice)))
    if request.user is not None:
        try:
            identity = users.identity(request.user)
        except users.UserError as error:
            raise SpawnError(str(error)) from None
        if identity is not None:
            steps.append((f"user = {request.user!r}", identity.take_on))
    if request.owner and (tag := process_tag.limit(request.owner)) is not None:
        steps.insert(0, ("its tag", partial(resource.setrlimit, *tag)))
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
