"""A slow line between two ends of the bus: so many bytes a second pass in one direction, and none is kept on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, Self


class SlowLine:
    """Listens at `port` and carries bytes to `target_port` at `bytes_per_s` (or from it, with `back`); the other way at once.

    `kept`: bytes of the socket's buffer that it reads the slow direction from.
    """

    def __init__(
        self, target_port: int, bytes_per_s: int, *, back: bool = False, kept: int = 64 * 1024
    ) -> None:
        self.port = 0
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s
        self._back = back
        self._kept = kept
        self._listening = socket.socket()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._kept)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._spawn(self._accept())
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(self._listening)
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._kept)
            far.setblocking(False)
            await loop.sock_connect(far, ("127.0.0.1", self._target_port))
            self._spawn(self._carry(near, far, slowly=not self._back))
            self._spawn(self._carry(far, near, slowly=self._back))

    async def _carry(self, source: socket.socket, to: socket.socket, *, slowly: bool) -> None:
        loop = asyncio.get_running_loop()
        size = self._bytes_per_s // 20 if slowly else 1 << 16
        try:
            while data := await loop.sock_recv(source, size):
                await loop.sock_sendall(to, data)
                if slowly:
                    await asyncio.sleep(len(data) / self._bytes_per_s)
        except OSError:
            pass  # one end has gone
        finally:
            source.close()
            to.close()
