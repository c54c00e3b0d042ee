"""nats-py as a program uses it: subscriptions with callbacks, `publish`, `request`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import nats
from nats.aio.msg import Msg

from benchmarks.bus.roles.timing import round_trips
from benchmarks.child import Control
from benchmarks.progress import Progress

_BATCH = 256


async def receiver(
    control: Control, *, port: int, secret: str, progress: str, first: int, count: int
) -> None:
    """`count` connections, each with its own subscriptions, from slot `first` of the progress on."""
    got = Progress(progress)
    clients = []
    for slot in range(first, first + count):
        client = await nats.connect(f"nats://127.0.0.1:{port}", token=secret)
        await _handlers(client, got, slot)
        clients.append(client)
    await control.aserve({})
    for client in clients:
        await client.close()


async def _handlers(client: nats.NATS, got: Progress, slot: int) -> None:
    counts = got.counts

    async def note(msg: Msg) -> None:
        counts[slot] += 1

    async def echo(msg: Msg) -> None:
        await msg.respond(msg.data)

    for subject in (f"note.{slot + 1}", "note.all"):
        await client.subscribe(subject, cb=note)
    await client.subscribe(f"echo.{slot + 1}", cb=echo)
    await client.flush()


async def sender(control: Control, *, port: int, secret: str, progress: str) -> None:
    """One connection that sends."""
    client = await nats.connect(f"nats://127.0.0.1:{port}", token=secret)
    got = Progress(progress)

    async def oneway(count: int, size: int, window: int, way: str = "target") -> dict[str, Any]:
        body = bytes(size)
        subjects = ["note.1"] if way == "target" else [f"note.{key % 4 + 1}" for key in range(64)]
        before = got.total()
        batch = min(_BATCH, max(1, window // 4))
        started = time.perf_counter()
        sent = 0
        while sent < count:
            for number in range(batch):
                await client.publish(subjects[(sent + number) % len(subjects)], body)
            sent += batch
            await asyncio.sleep(0)
            if before + sent - got.total() > window:
                await got.reach(before + sent - window)
        await got.reach(before + sent)
        return {"count": sent, "seconds": time.perf_counter() - started}

    async def requests(count: int, size: int, inflight: int) -> dict[str, Any]:
        body = bytes(size)
        latencies: list[float] = []
        clock = time.perf_counter

        async def ask(each: int) -> None:
            for _ in range(each):
                before = clock()
                await client.request("echo.1", body, timeout=5.0)
                latencies.append(clock() - before)

        started = clock()
        await asyncio.gather(*(ask(-(-count // inflight)) for _ in range(inflight)))
        return round_trips(clock() - started, latencies)

    async def broadcast(count: int, size: int, receivers: int, window: int) -> dict[str, Any]:
        body = bytes(size)
        before = got.total()
        batch = min(_BATCH, max(1, window // 4))
        started = time.perf_counter()
        sent = 0
        while sent < count:
            for _ in range(batch):
                await client.publish("note.all", body)
            sent += batch
            await asyncio.sleep(0)
            if before + (sent - window) * receivers > got.total():
                await got.reach(before + (sent - window) * receivers)
        await got.reach(before + sent * receivers)
        return {"count": sent * receivers, "seconds": time.perf_counter() - started}

    await control.aserve({"oneway": oneway, "requests": requests, "broadcast": broadcast})
    await client.close()
