"""Starting processes by fork and exec, and hearing of their end by SIGCHLD.

A child gets a session of its own and dies with the launcher (Linux: PR_SET_PDEATHSIG). What belongs to it beyond its own
process is `process_tree.py`'s; when to signal it, `local.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from launcher.processes import linux, process_tag, users
from launcher.processes.backend import SpawnError, SpawnRequest, passes
from launcher.processes.exit_status import ExitStatus
from launcher.processes.pipes import OutputPipe
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

    @property
    def own(self) -> Collection[int]:
        """The pids of the children that were started here and have not ended."""
        return self._children.keys()

    def strangers(self) -> set[int] | None:
        """Other direct children: adopted orphans. None when the system does not tell."""
        children = linux.direct_children() if self._adopt else None
        return None if children is None else children - self._children.keys()

    def spawn(self, request: SpawnRequest, listener: ChildListener) -> Child:
        """What can fail comes before the fork: after it there is a process, and somebody who hears of it."""
        handed_over: list[int] = []
        pipes: list[OutputPipe] = []
        try:
            prepare = _preparation(request)
            try:
                for stream in ("out",) if request.merge_streams else ("out", "err"):
                    reading, writing = os.pipe()
                    handed_over.append(writing)
                    pipes.append(OutputPipe(self._loop, reading, partial(listener.output, stream)))
                if not request.helper and descriptors.is_scarce(handed_over[-1]):
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # `down` needs the rest
                opened = _opened(request, handed_over)
                process = subprocess.Popen(
                    request.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=handed_over[0],
                    stderr=subprocess.STDOUT if request.merge_streams else handed_over[1],
                    cwd=request.cwd,
                    env={**request.env, **{name: f"/dev/fd/{number}" for name, number in opened.items()}},
                    pass_fds=tuple(opened.values()),
                    start_new_session=True,
                    preexec_fn=prepare,
                )
            finally:
                for descriptor in handed_over:
                    os.close(descriptor)
        except Exception as error:
            complaint = [pipe.abandon() for pipe in pipes][-1:]
            raise refusal(request, error, b"".join(complaint)) from None
        child = self._children[process.pid] = _PosixChild(process, listener, pipes)
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
        if child is None:
            return
        try:
            child.ended(os.waitstatus_to_exitcode(status))
        except Exception as error:  # what goes wrong with one end must not keep the others from being heard
            self._loop.call_exception_handler({"message": f"the end of process {pid}", "exception": error})


class _PosixChild:
    def __init__(
        self, process: subprocess.Popen[bytes], listener: ChildListener, pipes: list[OutputPipe]
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._listener = listener
        self._pipes = pipes

    def ended(self, returncode: int) -> None:
        # We waited for it ourselves; without this, Popen would complain when it is collected.
        self._process.returncode = returncode
        try:
            for pipe in self._pipes:
                pipe.drain()
        finally:
            self._listener.exited(ExitStatus.from_wait(returncode))

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()


def refusal(request: SpawnRequest, error: Exception, complaint: bytes = b"") -> SpawnError:
    """Why it could not be started; `complaint` is what the forked child said, if it came so far."""
    if isinstance(error, SpawnError):
        return error
    program = request.argv[0]
    if complaint:
        number, _, what = complaint.decode(errors="replace").partition(" ")
        refused = OSError(int(number), "") if number.isdigit() else error
        return SpawnError(f"{program!r} could not be given {what}", passing=passes(refused))
    if isinstance(error, subprocess.SubprocessError):  # the child had not even the memory to complain
        return SpawnError(f"{program!r} could not be started: {error}", passing=True)
    return SpawnError(_reason_of(request, error), passing=passes(error))


def _reason_of(request: SpawnRequest, error: Exception) -> str:
    program = request.argv[0]
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if not os.path.isdir(request.cwd):
            return f"its folder {request.cwd} does not exist"
        return f"there is no program {program!r} (looked in PATH and, for a path, from {request.cwd})"
    if isinstance(error, PermissionError):
        return f"{program!r} may not be executed from {request.cwd} by this user"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{program!r} could not be started: {reason}"


def _opened(request: SpawnRequest, handed_over: list[int]) -> dict[str, int]:
    opened: dict[str, int] = {}
    for variable, path in request.opened.items():
        try:
            opened[variable] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SpawnError(f"{path} cannot be opened: {error.strerror}", passing=passes(error)) from None
        handed_over.append(opened[variable])
    return opened


def _preparation(request: SpawnRequest) -> Callable[[], None]:
    """What the forked child does before it becomes the program. What can be looked up is looked up here.

    The child says on stderr what it could not do: of its exception the parent hears no more than that there was one.
    """
    import resource

    steps: list[tuple[str, Callable[[], object]]] = []
    own = descriptors.inherited()
    if own is not None:  # it shall not get the limit that was raised for the launcher
        steps.append(("its limit of open files", partial(resource.setrlimit, resource.RLIMIT_NOFILE, own)))
    steps += [
        (f"rlimits: {name} = {list(limit)}", partial(resource.setrlimit, _limit_number(name), limit))
        for name, limit in request.rlimits.items()
    ]
    if request.nice is not None:
        steps.append((f"nice = {request.nice}", partial(os.setpriority, os.PRIO_PROCESS, 0, request.nice)))
    if request.umask is not None:
        steps.append((f"umask = {request.umask:03o}", partial(os.umask, request.umask)))
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
                code = getattr(error, "errno", None) or 0
                os.write(2, f"{code} {what}: {getattr(error, 'strerror', None) or error}".encode())
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
