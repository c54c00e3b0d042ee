"""Routers, services and clients in the test's own process, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import luabus
from luabus.client.bus import Bus
from luabus.router.server import Router
from luabus.routing.cluster_document import ClusterDocument, GroupFacts
from luabus.service.service import Service
from tests.support.waiting import until

LONGEST_S = 60.0
SECRET = b"the secret of the tests' bus"
GROUPS = {"gateway": 1, "mail": 2, "director": 3, "robot": 4}
FACTS = {"mail": (2, 3), "gateway": (1,), "director": (3,), "robot": (4,)}


def document(groups: Mapping[str, tuple[int, ...]] = FACTS) -> ClusterDocument:
    """The cluster of these groups: number, and how many instances there should be, by name."""
    return ClusterDocument({name: GroupFacts(*facts) for name, facts in groups.items()})


class Star:
    """`count` routers; `await star.mail(2)` starts mail.2, `await star.client()` a client; all end with the block.

    Each service answers `who()`, `echo(value)`, `fail(text)` and `wait()`, and `note(value)` appends to its `notes`.
    """

    def __init__(
        self, count: int = 1, *, groups: Mapping[str, tuple[int, ...]] = FACTS, **options: Any
    ) -> None:
        self.routers: list[Router] = []
        self.services: dict[str, Instance] = {}
        self._count = count
        self._options = {"cluster": document(groups), "secret": SECRET, **options}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        # uvloop swallows what pytest-timeout raises: whoever waits for ever in a test is told here.
        await self._stack.enter_async_context(asyncio.timeout(LONGEST_S))
        for number in range(1, self._count + 1):
            self.routers.append(await self._stack.enter_async_context(self.router(number)))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def router(self, number: int, port: int = 0) -> Router:
        """A router that has not been started."""
        return Router(f"router.{number}", port=port, **self._options)

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{router.port}" for router in self.routers]

    async def restart(self, number: int) -> Router:
        """A new process' worth of router at the same address, knowing nothing."""
        port = self.routers[number - 1].port
        await self.routers[number - 1].stop(0.0)
        fresh = await self._stack.enter_async_context(self.router(number, port))
        self.routers[number - 1] = fresh
        return fresh

    async def service(self, name: str, instance: int = 1, **options: Any) -> Instance:
        """Started, and registered with every router."""
        made = Instance(name, instance, {"routers": self.addresses, **options})
        await self._stack.enter_async_context(made.service)
        await joined(made.service.bus)
        self.services[f"{name}.{instance}"] = made
        return made

    async def mail(self, *instances: int, **options: Any) -> list[Instance]:
        return [await self.service("mail", instance, **options) for instance in instances or (1, 2, 3)]

    async def client(self, **options: Any) -> Bus:
        """Connected to every router."""
        options = {"secret": SECRET, "groups": GROUPS, **options}
        bus = await self._stack.enter_async_context(luabus.connect(self.addresses, **options))
        await until(lambda: all(link.ready for link in bus.routers))
        return bus


class Instance:
    """One service and what happened to it."""

    def __init__(self, name: str, instance: int, options: dict[str, Any]) -> None:
        self.name = f"{name}.{instance}"
        self.notes: list[Any] = []
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.service = Service(
            name, **{"group": GROUPS[name], "instance": instance, "secret": SECRET, **options}
        )
        for handler in (self.who, self.echo, self.fail, self.wait, self.note):
            self.service.rpc(handler)

    @property
    def bus(self) -> Bus:
        return self.service.bus

    def replace(self, handler: Callable[..., Any], name: str) -> None:
        """Another handler in the place of the one that is called so."""
        del self.service.handlers.methods[name]
        self.service.rpc(handler, name=name)

    def who(self) -> str:
        return self.name

    def echo(self, value: Any) -> Any:
        return value

    def fail(self, text: str) -> None:
        raise ValueError(text)

    async def wait(self) -> None:
        self.events.put_nowait("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.events.put_nowait("cancelled")
            raise

    def note(self, value: Any) -> None:
        self.notes.append(value)
        self.events.put_nowait("note")

    async def noted(self, count: int) -> list[Any]:
        """The notes, as soon as there are `count`."""
        await until(lambda: len(self.notes) >= count, what=f"{count} notes at {self.name}")
        return self.notes


async def joined(bus: Bus) -> None:
    """Until the bus' service is registered with every router."""
    await until(lambda: all(link.joined and link.ready for link in bus.routers), what="registered everywhere")


def prefers(bus: Bus) -> str:
    """The name of the router that this bus forwards through."""
    return next((link.name for link in bus.routers if link.stream is bus.preferred), "")


async def prefer(star: Star, name: str, make: Callable[[], Any]) -> Any:
    """A client (or what `make` makes, with a `bus`) that forwards through the router called `name`."""
    for _ in range(50):
        made = await make()
        if prefers(made) == name:
            return made
        await made.close()
    raise AssertionError(f"nobody preferred {name}")
