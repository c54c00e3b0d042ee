"""`luabus.connect`: a plain client of the bus."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from luabus import option_checks
from luabus.client.bus import Bus
from luabus.environment import Environment
from luabus.errors import Refused
from luabus.protocol.stream_options import StreamOptions
from luabus.secret import check_secret
from luabus.transport.security import Security


def connect(
    routers: Iterable[str] | None = None,
    *,
    groups: Mapping[str, int] | None = None,
    secret: bytes | str | None = None,
    secret_file: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    timeout: float | None = 5.0,
    frame_limit: int | None = None,
) -> BusConnection:
    """A plain client: `async with luabus.connect(["127.0.0.1:7070"], secret_file=".luabus/secret") as bus: ...`

    With the cluster's secret it is an administrator's, with a `key_file` (`service:mail 9a0c...`, `client 77d1...`) whose key
    that is. What is not given comes from the LUABUS_* environment. Entering connects to all routers and waits for the first, at
    most `timeout` seconds (`NotConnected`). What is returned is one bus at a time: entering it again before it is left is
    `Refused`. Raises `ConfigError` for a secret of fewer than 16 bytes.
    """
    return BusConnection(routers, groups, secret, secret_file, key_file, timeout, frame_limit)


class BusConnection:
    """What `connect` returns: enter it, or await it and close the bus yourself."""

    def __init__(
        self,
        routers: Iterable[str] | None,
        groups: Mapping[str, int] | None,
        secret: bytes | str | None,
        secret_file: str | os.PathLike[str] | None,
        key_file: str | os.PathLike[str] | None,
        timeout: float | None,
        frame_limit: int | None,
    ) -> None:
        option_checks.check(frame_limit=frame_limit)
        option_checks.check_groups(groups)
        option_checks.check_paths(secret_file=secret_file, key_file=key_file)
        timeout = option_checks.time_limit(timeout)
        self._routers = None if routers is None else option_checks.texts("routers", routers)
        self._groups = groups
        self._secret = None if secret is None else check_secret(secret)
        self._secret_file = secret_file
        self._key_file = key_file
        self._timeout = timeout
        self._frame_limit = frame_limit
        self._bus: Bus | None = None
        self._entered = False

    async def _open(self) -> Bus:
        environment = Environment.read()
        routers = environment.routers if self._routers is None else self._routers
        security = Security.given(environment, self._secret, self._secret_file, self._key_file)
        bus = Bus()
        await bus.start(
            routers,
            groups=environment.groups if self._groups is None else self._groups,
            security=security,
            options=StreamOptions.of_bus(
                environment.frame_limit if self._frame_limit is None else self._frame_limit,
                compress_above=environment.compress_above,
            ),
        )
        try:
            if self._timeout is None or self._timeout > 0:
                await bus.ready(self._timeout)
        except BaseException:
            await bus.close()
            raise
        return bus

    def __await__(self) -> Generator[Any, None, Bus]:
        return self._open().__await__()

    async def __aenter__(self) -> Bus:
        if self._entered:
            raise Refused("this connection is entered already: call luabus.connect() for each")
        self._entered = True
        try:
            self._bus = await self._open()
        except BaseException:
            self._entered = False
            raise
        return self._bus

    async def __aexit__(self, *exc: object) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            await bus.close()
        self._entered = False
