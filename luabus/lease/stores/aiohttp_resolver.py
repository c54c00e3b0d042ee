"""aiohttp's look-ups by luabus' own: a name that hangs holds up neither the loop's executor nor another look-up."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from luabus.transport.resolver import look_up


class Resolver(AbstractResolver):
    """For a session's connector, which tries the addresses one after the other by itself ("happy eyeballs")."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises `OSError`."""
        endpoints = await asyncio.wrap_future(look_up(host, port))
        return [
            ResolveResult(
                hostname=host, host=endpoint.host, port=endpoint.port, family=endpoint.family, proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for endpoint in endpoints
            if family in (socket.AF_UNSPEC, endpoint.family)
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is kept."""
