"""Starting processes on systems without fork and SIGCHLD: threads that wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Collection

from launcher.processes.backend import SpawnError, SpawnRequest
from launcher.processes.exit_status import ExitStatus
from launcher.processes.pipes import READ_SIZE
from launcher.processes.spawn_posix import Child, ChildListener, refusal


class ThreadSpawner:
    """Three threads per child. It adopts nobody."""

    adopts = False
    own: Collection[int] = ()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def strangers(self) -> set[int] | None:
        return None

    def spawn(self, request: SpawnRequest, listener: ChildListener) -> Child:
        if request.user is not None or request.rlimits or request.umask is not None:
            raise SpawnError("user, umask and rlimits need a POSIX system")
        group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        try:
            process = subprocess.Popen(
                request.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if request.merge_streams else subprocess.PIPE,
                cwd=request.cwd,
                env=request.env,
                creationflags=group,
                start_new_session=not group,
            )
        except Exception as error:
            raise refusal(request, error) from None
        try:
            return _ThreadChild(self._loop, process, listener)
        except RuntimeError as error:  # no thread can be started
            process.kill()
            process.wait()
            raise refusal(request, error) from None

    def close(self) -> None:
        return


class _ThreadChild:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], listener: ChildListener
    ) -> None:
        self.pid = process.pid
        self._loop = loop
        self._process = process
        self._listener = listener
        readers = [
            threading.Thread(target=self._read, args=(pipe, name), daemon=True)
            for pipe, name in ((process.stdout, "out"), (process.stderr, "err"))
            if pipe is not None
        ]
        for thread in (*readers, threading.Thread(target=self._wait, args=(readers,), daemon=True)):
            thread.start()

    def close(self) -> None:
        """The threads close the pipes when they reach their ends."""

    def _read(self, pipe: object, stream: str) -> None:
        descriptor = pipe.fileno()  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            while chunk := os.read(descriptor, READ_SIZE):
                self._tell(self._listener.output, stream, chunk)
        pipe.close()  # type: ignore[attr-defined]

    def _wait(self, readers: list[threading.Thread]) -> None:
        returncode = self._process.wait()
        for thread in readers:
            thread.join(0.5)
        self._tell(self._listener.exited, ExitStatus.from_wait(returncode))

    def _tell(self, call: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call, *args)
