"""Names with addresses that answer, refuse or say nothing, at a port of ours."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest


def listening(stack: ExitStack, host: str, port: int = 0, backlog: int = 16) -> socket.socket:
    sock = stack.enter_context(
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    )
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(backlog)
    return sock


class Names:
    """A name whose first addresses drop what comes (a listener whose queue is full), and whose last one lives, if asked for."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.live = listening(stack, "127.0.0.1")
        self.port: int = self.live.getsockname()[1]
        self.hosts: list[str] = []
        self.slow: dict[str, threading.Event] = {}
        self.looked_up: list[str] = []
        real = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            self.looked_up.append(host)
            if host in self.slow:
                self.slow[host].wait(20)
                raise socket.gaierror(socket.EAI_AGAIN, "the resolver was down")
            if host == "live.test":
                return real("127.0.0.1", port, *args, **kwargs)
            if host == "many.test":
                return [row for one in self.hosts for row in real(one, port, *args, **kwargs)]
            return real(host, port, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def dead(self, host: str) -> str:
        """An address that answers nothing at our port."""
        full = listening(self.stack, host, self.port, backlog=0)
        for _ in range(4):
            one = self.stack.enter_context(socket.socket(full.family, socket.SOCK_STREAM))
            one.setblocking(False)
            one.connect_ex(full.getsockname()[:2])
        return host
