"""Where the facts come from: the routers over the bus, and the launcher over its control channel.

`Source` is what the feed and the verbs need; `ClusterSource` is the one that talks to a cluster. Nothing here remembers or
decides: every method asks once and raises a typed `luabus` error when the answer does not come.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import luabus
from luabus import admin
from luabus.errors import ConfigError, LuabusError, NotConnected

ASK_TIMEOUT_S = 3.0
"""How long the launcher may take to answer a question."""
VERB_TIMEOUT_S = 60.0
"""How long it may take for a verb: a rolling restart waits until each instance is ready."""
CONNECT_TIMEOUT_MS = 2000
RETRY_S = 1.0


class RouterLink(NamedTuple):
    """A configured router, and whether it answers now."""

    name: str
    address: str
    connected: bool


class Source(Protocol):
    """What the dashboard needs of a cluster."""

    cluster: str

    async def start(self, changed: Callable[[], None]) -> None:
        """Begin to connect; call `changed` whenever something is known to have changed."""
        ...

    async def stop(self) -> None: ...

    def links(self) -> Sequence[RouterLink]: ...

    def bus_error(self) -> str | None: ...

    async def routes(self) -> Any: ...

    async def connections(self) -> Any: ...

    async def stats(self) -> Any: ...

    async def register(
        self, service_id: str, token: int | str | None, is_master: bool, router: str
    ) -> dict[str, str]: ...

    async def promote(self, service_id: str) -> Any: ...

    async def close_connection(self, router: str, token: int) -> Any: ...

    async def ask(self, method: str, *args: Any) -> Any:
        """Ask the launcher something."""
        ...

    async def tell(self, method: str, *args: Any) -> Any:
        """Have the launcher do something; waits longer than `ask`."""
        ...


class Launcher:
    """The control channel: connects when first needed, and again after it was lost or the launcher was started anew."""

    def __init__(self, control: Path | None, secret: str | None) -> None:
        self._path = control
        self._secret = secret
        self._manager: Any = None
        self._stream: Any = None
        self._target: tuple[str, int] | None = None
        self._lock = asyncio.Lock()

    async def request(self, method: str, *args: Any, timeout: float) -> Any:
        """Raises `NotConnected` when there is no launcher, else what the launcher raised."""
        stream = await self._connected()
        try:
            return await stream.request(method, *args, timeout=timeout)
        except luabus.errors.ConnectionLost:
            self._drop()
            raise

    def close(self) -> None:
        self._drop()
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    async def _connected(self) -> Any:
        async with self._lock:
            target = self._read()
            if self._stream is not None and target == self._target and not self._stream.closed:
                return self._stream
            self._drop()
            if self._manager is None:
                self._manager = luabus.create_socket_mgr(4, secret=self._secret)
            stream = self._manager.connect(*target, CONNECT_TIMEOUT_MS)
            await stream.connected()
            self._stream, self._target = stream, target
            return stream

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = self._target = None

    def _read(self) -> tuple[str, int]:
        if self._path is None:
            raise NotConnected(
                "no launcher: LUABUS_CONTROL is not set, so processes cannot be seen or steered"
            )
        try:
            written = json.loads(self._path.read_text("utf-8"))
            return str(written["host"]), int(written["port"])
        except FileNotFoundError:
            raise NotConnected(f"no launcher: {self._path} does not exist") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotConnected(f"no launcher: {self._path} cannot be read: {error}") from None


class ClusterSource:
    """A launched cluster, or routers alone: what the `LUABUS_*` environment names."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.cluster = environ.get("LUABUS_CLUSTER", "luabus")
        addresses = [part.strip() for part in environ.get("LUABUS_ROUTERS", "").split(",") if part.strip()]
        self._addresses = addresses
        control = environ.get("LUABUS_CONTROL")
        self._launcher = Launcher(Path(control) if control else None, _read_secret(environ))
        self._bus: Any = None
        self._error: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed: Callable[[], None] = lambda: None

    async def start(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._task = asyncio.create_task(self._keep_bus(), name="dashboard bus")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._launcher.close()

    async def _keep_bus(self) -> None:
        """Hold a bus open for as long as the process runs; it reconnects by itself once it is up."""
        while True:
            try:
                async with luabus.connect() as bus:
                    self._bus, self._error = bus, None
                    bus.on_group = lambda router, group: self._changed()
                    bus.on_router = lambda router, connected: self._changed()
                    await bus.watch()
                    self._changed()
                    await asyncio.Event().wait()
            except LuabusError as error:
                self._error = str(error)
            finally:
                self._bus = None
            await asyncio.sleep(RETRY_S)

    def links(self) -> Sequence[RouterLink]:
        if self._bus is not None:
            return [RouterLink(r.name, str(r.address), bool(r.connected)) for r in self._bus.routers]
        return [RouterLink(f"router.{n}", address, False) for n, address in enumerate(self._addresses, 1)]

    def bus_error(self) -> str | None:
        return self._error

    def _live_bus(self) -> Any:
        if self._bus is None:
            raise NotConnected(self._error or "no router answers", routers=self._addresses)
        return self._bus

    async def routes(self) -> Any:
        return await admin.routes(self._live_bus())

    async def connections(self) -> Any:
        return await admin.connections(self._live_bus())

    async def stats(self) -> Any:
        return await admin.stats(self._live_bus())

    async def register(
        self, service_id: str, token: int | str | None, is_master: bool, router: str
    ) -> dict[str, str]:
        result = await admin.register(self._live_bus(), service_id, token, is_master, router)
        return {str(name): str(done) for name, done in result.items()}

    async def promote(self, service_id: str) -> Any:
        return await admin.promote(self._live_bus(), service_id)

    async def close_connection(self, router: str, token: int) -> Any:
        return await admin.close_connection(self._live_bus(), router, token)

    async def ask(self, method: str, *args: Any) -> Any:
        return await self._launcher.request(method, *args, timeout=ASK_TIMEOUT_S)

    async def tell(self, method: str, *args: Any) -> Any:
        return await self._launcher.request(method, *args, timeout=VERB_TIMEOUT_S)


def _read_secret(environ: dict[str, str]) -> str | None:
    path = environ.get("LUABUS_SECRET_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"the cluster's secret cannot be read: {error}", key="LUABUS_SECRET_FILE") from None
