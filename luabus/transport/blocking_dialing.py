"""As `dialing`, without an event loop."""

from __future__ import annotations

import selectors
import socket
import time
from errno import EINPROGRESS, EWOULDBLOCK
from os import strerror
from typing import Final

from luabus.transport.resolver import Endpoint, in_turn, look_up, numeric, stagger_s, why_none

_UNDER_WAY: Final = (0, EINPROGRESS, EWOULDBLOCK, 10035)  # the last is Windows'


def dial_blocking(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connected socket, by the first of the host's addresses that answers. Raises `OSError`; `TimeoutError` after `timeout_s`
    seconds in all: for the look-up and every address together."""
    deadline = time.monotonic() + timeout_s
    endpoint = numeric(host, port)
    endpoints = [endpoint] if endpoint is not None else in_turn(look_up(host, port).result(timeout_s))
    alone_s = stagger_s(len(endpoints), deadline - time.monotonic())
    failures: list[tuple[Endpoint, OSError]] = []
    with selectors.DefaultSelector() as selector:
        try:
            while endpoints or selector.get_map():
                if endpoints:
                    _begin(selector, endpoints.pop(0), failures)
                if not selector.get_map():
                    continue
                left_s = deadline - time.monotonic()
                for key, _ in selector.select(min(alone_s, left_s) if endpoints else left_s):
                    selector.unregister(key.fileobj)
                    connected = _finish(key.fileobj, key.data, failures)  # type: ignore[arg-type]
                    if connected is not None:
                        return connected
                if time.monotonic() >= deadline:
                    raise TimeoutError
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
    raise why_none(failures)


def _begin(
    selector: selectors.BaseSelector, endpoint: Endpoint, failures: list[tuple[Endpoint, OSError]]
) -> None:
    try:
        sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    except OSError as error:
        failures.append((endpoint, error))
        return
    sock.setblocking(False)
    code = sock.connect_ex(endpoint.address)
    if code in _UNDER_WAY:
        selector.register(sock, selectors.EVENT_WRITE, endpoint)
    else:
        sock.close()
        failures.append((endpoint, OSError(code, strerror(code))))


def _finish(
    sock: socket.socket, endpoint: Endpoint, failures: list[tuple[Endpoint, OSError]]
) -> socket.socket | None:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not code:
        return sock
    sock.close()
    failures.append((endpoint, OSError(code, strerror(code))))
    return None
