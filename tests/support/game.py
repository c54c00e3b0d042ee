"""A program with a main loop of its own, as a game has: no asyncio, two managers driven by `wait`."""

from __future__ import annotations

import time

from luabus.transport.manager import create_socket_mgr
from luabus.transport.stream import Stream


class Game:
    """A program without asyncio: one manager that listens, one that connects, both driven by `wait`."""

    def __init__(self) -> None:
        self.server, self.client = create_socket_mgr(10), create_socket_mgr(10)
        self.log: list[tuple[object, ...]] = []
        listener = self.server.listen("127.0.0.1", 0)
        listener.on_accept = self.on_accept
        self.server_port = listener.port
        self.stream = self.client.connect("127.0.0.1", listener.port, 1000)
        self.stream.on_connect = lambda result: self.log.append(("connect", result))
        self.stream.on_call = lambda *args: self.log.append(("told", *args))

    def on_accept(self, stream: Stream) -> None:
        self.log.append(("accept",))
        stream.on_call = lambda msg, *args: (self.log.append((msg, *args)), stream.call("back", *args))

    def frames(self, until: tuple[object, ...], ms: int = 2) -> int:
        """The game's loop; returns how many events `wait` said it handled."""
        handled = 0
        deadline = time.monotonic() + 10
        while until not in self.log:
            assert time.monotonic() < deadline, self.log
            handled += self.server.wait(ms)
            handled += self.client.wait(ms)
        return handled

    def __enter__(self) -> Game:
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.shutdown()
        self.server.shutdown()
