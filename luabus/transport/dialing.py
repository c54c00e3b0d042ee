"""A connection to a host that may have several addresses, some of them dead ("happy eyeballs", RFC 8305; uvloop has none)."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import cast

from luabus.transport.resolver import Endpoint, in_turn, look_up, numeric, stagger_s, why_none


async def dial(
    protocol: asyncio.Protocol,
    host: str,
    port: int,
    timeout_s: float | None = None,
    last: Container[tuple[str, int]] = (),
) -> asyncio.Transport:
    """Connect `protocol` to the first of the host's addresses that answers; those in `last` are tried last.

    `timeout_s`: within which each address must have had its turn; to end then is the caller's. Raises `OSError`.
    """
    loop = asyncio.get_running_loop()
    endpoint = numeric(host, port)
    if endpoint is not None:
        return await _connect(protocol, endpoint)
    began = loop.time()
    found: list[Endpoint] = await asyncio.wrap_future(look_up(host, port))
    endpoints = in_turn(found, last)
    if len(endpoints) == 1:
        return await _connect(protocol, endpoints[0])
    left_s = None if timeout_s is None else timeout_s - (loop.time() - began)
    transport = await _first_of(endpoints, stagger_s(len(endpoints), left_s))
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not transport.is_closing():
        transport.resume_reading()
    return transport


async def open_connection(
    host: str, port: int, timeout_s: float | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As asyncio's, by `dial`."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await dial(protocol, host, port, timeout_s)
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


class _Candidate(asyncio.Protocol):
    """Of a connection that may be too late: nothing is read for it. Who is taken gets its true protocol."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()


async def _first_of(endpoints: list[Endpoint], alone_s: float) -> asyncio.Transport:
    """Begin with one after the other, at the latest after `alone_s` seconds, until one has succeeded."""
    waiting = list(endpoints)
    trying: dict[asyncio.Task[asyncio.Transport], Endpoint] = {}
    failures: list[tuple[Endpoint, OSError]] = []
    winner: asyncio.Transport | None = None
    try:
        while winner is None and (waiting or trying):
            if waiting:
                endpoint = waiting.pop(0)
                trying[asyncio.create_task(_connect(_Candidate(), endpoint))] = endpoint
            done, _ = await asyncio.wait(
                trying, timeout=alone_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    winner = winner or task.result()
                elif isinstance(error, OSError):
                    failures.append((trying.pop(task), error))
                else:
                    raise error
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(lambda done: _abort_unless(winner, done))
    if winner is None:
        raise why_none(failures)
    return winner


def _abort_unless(winner: asyncio.Transport | None, done: asyncio.Task[asyncio.Transport]) -> None:
    """One that connected as well, but too late."""
    if not done.cancelled() and done.exception() is None and done.result() is not winner:
        done.result().abort()


async def _connect(protocol: asyncio.Protocol, endpoint: Endpoint) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: protocol, endpoint.host, endpoint.port)
    return transport
