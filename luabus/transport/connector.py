"""Streams that this side opens: connected within their time-out, whatever the name's addresses do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Final

from luabus.errors import NotConnected, RequestTimeout
from luabus.host_addresses import format_address
from luabus.transport.dialing import dial
from luabus.transport.stream import Stream

_MOST_KEPT: Final = 64


class Connector:
    """Connects the streams of one manager. Remembers which addresses accepted and then did not shake hands: the next time other
    addresses of the same name are tried before them."""

    def __init__(self) -> None:
        self._silent: dict[tuple[str, int], None] = {}

    async def connect(self, stream: Stream, host: str, port: int, timeout_s: float) -> None:
        """Until `stream` is open, or has failed with the reason."""
        address = format_address(host, port)
        connection = stream.connection
        try:
            async with asyncio.timeout(timeout_s):
                await dial(connection, host, port, timeout_s, self._silent)
                if not stream.is_open:
                    await stream.connected()
        except TimeoutError:
            text = f"no connection to {address} within {timeout_s:g} s"
            connection.failed(RequestTimeout(text, timeout_s=timeout_s), "timeout")
        except OSError as error:
            # A name that cannot be resolved has a number of its own, below 0.
            why = (
                os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            )
            connection.failed(NotConnected(f"{address}: {why}"), why)
        except Exception as error:
            connection.failed(NotConnected(f"{address}: {error}"))
        self._remember(stream)

    def _remember(self, stream: Stream) -> None:
        self._silent.pop(stream.peer, None)
        if stream.peer[1] and not stream.is_open:
            self._silent[stream.peer] = None
            if len(self._silent) > _MOST_KEPT:
                del self._silent[next(iter(self._silent))]


def accepted_end(stream: Stream, streams: Iterable[Stream]) -> Stream:
    """Where frames for `stream` are written: it itself, or, if one of `streams` is the accepted end of what it opened, that
    one. What is written into the opened end would only come out there, to be routed again."""
    sock = stream.connection.sock()
    if not stream.connector or sock is None:
        return stream
    here = sock.getsockname()[:2]
    return next((other for other in streams if not other.connector and other.peer == here), stream)
