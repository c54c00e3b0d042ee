"""Access to a cluster: its routers over the bus, its launcher over the control channel.

`Source` is the interface that the poller and the verbs use, `ClusterSource` its implementation. It is stateless: every method
sends one request, and raises a typed `luabus` error when no answer comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from luabus import Bus, Environment, Security, admin
from luabus.cluster.control_client import ControlClient
from luabus.errors import ConfigError, LuabusError

ASK_TIMEOUT_S: Final = 3.0
"""Timeout of a read request to the launcher."""
VERB_TIMEOUT_S: Final = 30.0
"""Timeout of a verb that is done at once."""
CONNECT_TIMEOUT_S: Final = 2.0


class RouterLink(NamedTuple):
    """A configured router and whether it is connected."""

    name: str
    address: str
    connected: bool


class Answer(NamedTuple):
    """One answer to a request: the instance (None when a router answered), and the value or the error."""

    service_id: str | None
    value: Any
    error: LuabusError | None = None


class Source(Protocol):
    """A cluster as the dashboard uses it."""

    cluster: str

    async def start(self, changed: Callable[[], None]) -> None:
        """Start connecting; `changed` is called whenever a table or a connection changed."""
        ...

    async def stop(self) -> None: ...

    def links(self) -> Sequence[RouterLink]: ...

    def bus_error(self) -> str | None:
        """Why no router answers; None while one does."""
        ...

    async def routes(self) -> Any: ...

    async def connections(self) -> Any: ...

    async def stats(self) -> Any: ...

    async def register(
        self, service_id: str, token: int | str | None, is_master: bool, router: str
    ) -> dict[str, str]: ...

    async def promote(self, service_id: str, by: str) -> Any: ...

    async def close_connection(self, router: str, token: int) -> Any: ...

    async def methods(self, group: int, timeout: float) -> dict[str, Any]:
        """Methods that each instance of a group declares: `{service_id: the list, or an error}`."""
        ...

    async def call(
        self, route: str, method: str, args: Sequence[Any], timeout: float, one_way: bool
    ) -> list[Answer]:
        """Call a method on a route such as `hash:mail:alice`. One way gives no answer, a broadcast several."""
        ...

    def follow(self, name: str, lines: int) -> AbstractAsyncContextManager[AsyncIterator[list[Any]]]:
        """Follow a process' log: the newest `lines`, then each new one, until the launcher ends."""
        ...

    async def ask(self, method: str, *args: Any) -> Any:
        """Send a read request to the launcher."""
        ...

    async def tell(self, method: str, *args: Any, timeout: float = VERB_TIMEOUT_S) -> Any:
        """Send a verb to the launcher; the timeout is longer than that of `ask`."""
        ...


class ClusterSource:
    """The cluster that the `LUABUS_*` environment names: launched, or routers alone.

    Raises `ConfigError` when that names no router, or when the secret or the key cannot be read.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        environment = Environment.read(environ)
        self.cluster = environment.cluster or "luabus"
        if not environment.routers:
            raise ConfigError("LUABUS_ROUTERS names no router, such as 127.0.0.1:7070", key="LUABUS_ROUTERS")
        self._addresses = environment.routers
        self._groups = environment.groups
        self._security = Security.given(environment)
        control = Path(environment.control) if environment.control else None
        self._launcher = ControlClient(control, self._security, CONNECT_TIMEOUT_S)
        self._bus = Bus()

    async def start(self, changed: Callable[[], None]) -> None:
        self._bus.on_group(lambda router, group: changed())
        self._bus.on_router(lambda router, connected: changed())
        await self._bus.start(self._addresses, groups=self._groups, security=self._security)
        await self._bus.watch()

    async def stop(self) -> None:
        await self._bus.close()
        await self._launcher.close()

    def links(self) -> Sequence[RouterLink]:
        # Until a router has said its name it goes by its place in the configuration, which is how the launcher names it.
        return [
            RouterLink(
                f"router.{n}" if link.name == link.address else link.name, link.address, link.connected
            )
            for n, link in enumerate(self._bus.routers, 1)
        ]

    def bus_error(self) -> str | None:
        links = self._bus.routers
        if any(link.connected for link in links):
            return None
        return "; ".join(str(link.last_error or f"{link.address} is not connected yet") for link in links)

    async def routes(self) -> Any:
        return await admin.routes(self._bus)

    async def connections(self) -> Any:
        return await admin.connections(self._bus)

    async def stats(self) -> Any:
        return await admin.stats(self._bus)

    async def register(
        self, service_id: str, token: int | str | None, is_master: bool, router: str
    ) -> dict[str, str]:
        return await admin.register(self._bus, service_id, token, is_master, router)

    async def promote(self, service_id: str, by: str) -> Any:
        return await admin.promote(self._bus, service_id, by=by)

    async def close_connection(self, router: str, token: int) -> Any:
        return await admin.close_connection(self._bus, router, token)

    async def methods(self, group: int, timeout: float) -> dict[str, Any]:
        answers = await admin.methods(self._bus, group, timeout=timeout)
        return {str(service_id): answer for service_id, answer in answers.items()}

    async def call(
        self, route: str, method: str, args: Sequence[Any], timeout: float, one_way: bool
    ) -> list[Answer]:
        sender = self._bus.route(route)
        if one_way:
            await sender.send(method, *args)
            return []
        if route.startswith("broadcast:"):
            answers = await sender.gather(method, *args, timeout=timeout)
            return [
                Answer(str(service_id), None, value)
                if isinstance(value, LuabusError)
                else Answer(str(service_id), value)
                for service_id, value in answers.items()
            ]
        by, value = await sender.answered(method, *args, timeout=timeout)
        return [Answer(str(by), value)]

    def follow(self, name: str, lines: int) -> AbstractAsyncContextManager[AsyncIterator[list[Any]]]:
        return self._launcher.follow(name, lines, ASK_TIMEOUT_S)

    async def ask(self, method: str, *args: Any) -> Any:
        return await self._launcher.request(method, *args, timeout=ASK_TIMEOUT_S)

    async def tell(self, method: str, *args: Any, timeout: float = VERB_TIMEOUT_S) -> Any:
        return await self._launcher.request(method, *args, timeout=timeout)
