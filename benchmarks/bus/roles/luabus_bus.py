"""luabus as a program uses it: services with handlers, `route.send()`, `route.request()`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import luabus
from benchmarks.bus.roles.timing import round_trips
from benchmarks.child import Control
from benchmarks.progress import Progress

GROUP = 2
SENDER_GROUP = 3
_BATCH = 256
"""A sender looks at the window, and lets its loop run, after so many messages."""


async def receiver(
    control: Control, *, port: int, secret: str, progress: str, first: int, count: int
) -> None:
    """`count` instances, each a service of its own, from slot `first` of the progress on."""
    got = Progress(progress)
    services = []
    for slot in range(first, first + count):
        service = luabus.Service(
            "sink", group=GROUP, instance=slot + 1, routers=[f"127.0.0.1:{port}"], secret=secret
        )
        _handlers(service, got, slot)
        await service.start()
        services.append(service)
    await control.aserve({})
    for service in services:
        await service.stop()


def _handlers(service: luabus.Service, got: Progress, slot: int) -> None:
    counts = got.counts

    @service.rpc
    def note(body: bytes) -> None:
        counts[slot] += 1

    @service.rpc
    def echo(body: bytes) -> bytes:
        return body


async def sender(control: Control, *, port: int, secret: str, progress: str) -> None:
    """One service that sends."""
    service = luabus.Service(
        "source", group=SENDER_GROUP, instance=1, routers=[f"127.0.0.1:{port}"], secret=secret
    )
    got = Progress(progress)
    bus = service.bus

    async def oneway(count: int, size: int, window: int, way: str = "target") -> dict[str, Any]:
        body = bytes(size)
        routes = (
            [bus.target(f"{GROUP}.1")] if way == "target" else [bus.hash(GROUP, key) for key in range(64)]
        )
        before = got.total()
        batch = min(_BATCH, max(1, window // 4))
        started = time.perf_counter()
        sent = 0
        while sent < count:
            for number in range(batch):
                last = routes[(sent + number) % len(routes)].send("note", body)
            await last
            sent += batch
            await asyncio.sleep(0)
            if before + sent - got.total() > window:
                await got.reach(before + sent - window)
        await got.reach(before + sent)
        return {"count": sent, "seconds": time.perf_counter() - started}

    async def requests(count: int, size: int, inflight: int) -> dict[str, Any]:
        body = bytes(size)
        route = bus.target(f"{GROUP}.1")
        latencies: list[float] = []
        clock = time.perf_counter

        async def ask(each: int) -> None:
            for _ in range(each):
                before = clock()
                await route.request("echo", body)
                latencies.append(clock() - before)

        started = clock()
        await asyncio.gather(*(ask(-(-count // inflight)) for _ in range(inflight)))
        return round_trips(clock() - started, latencies)

    async def broadcast(count: int, size: int, receivers: int, window: int) -> dict[str, Any]:
        body = bytes(size)
        route = bus.broadcast(GROUP)
        before = got.total()
        batch = min(_BATCH, max(1, window // 4))
        started = time.perf_counter()
        sent = 0
        while sent < count:
            for _ in range(batch):
                last = route.send("note", body)
            await last
            sent += batch
            await asyncio.sleep(0)
            if before + (sent - window) * receivers > got.total():
                await got.reach(before + (sent - window) * receivers)
        await got.reach(before + sent * receivers)
        return {"count": sent * receivers, "seconds": time.perf_counter() - started}

    async with service:
        await control.aserve({"oneway": oneway, "requests": requests, "broadcast": broadcast})
