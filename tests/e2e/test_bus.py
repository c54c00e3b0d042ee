"""The bus between real processes: kill -9, SIGSTOP, floods. What its callers are told, how soon, and what it costs the router."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

import luabus
from luabus.errors import Overloaded, PeerLost, RequestTimeout, RouterLost
from tests.support.owners import key_of
from tests.support.programs import Cluster, Program
from tests.support.waiting import until

BUFFER = 4 << 20


def preferred(bus: luabus.Bus) -> int:
    """The index of the router that the client forwards through."""
    return next(index for index, link in enumerate(bus.routers) if link.stream is bus.preferred)


async def test_kill_9_of_a_service_is_peer_lost_at_once_and_its_keys_go_on(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.router(1)
        await cluster.router(2)
        mail = [await cluster.mail(instance) for instance in (1, 2, 3)]
        bus = await cluster.client()
        key = key_of(1, 2, 3)
        assert await bus.hash("mail", key).request("who") == "mail.1"
        waiting = asyncio.create_task(bus.hash("mail", key).request("wait", 60.0, timeout=None))
        await asyncio.sleep(0)  # it is sent first, and so has begun when the next one is answered
        await bus.hash("mail", key).request("who")
        mail[0].tell(signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises(PeerLost):
            await waiting
        assert time.monotonic() - killed < 1.0
        assert await bus.hash("mail", key).request("who") == "mail.2"
        assert await bus.hash("mail", key_of(2, 1, 3)).request("who") == "mail.2"
        assert await bus.hash("mail", key_of(3, 1, 2)).request("who") == "mail.3"
        assert await bus.hash("mail", key_of(1, 3, 2)).request("who") == "mail.3"
        await cluster.mail(1)
        async with asyncio.timeout(5):  # it is ready when it has joined one router, which need not be ours
            while await bus.hash("mail", key).request("who") != "mail.1":
                pass


async def test_kill_9_of_a_router_is_router_lost_at_once_and_the_next_request_goes_on_within_200_ms(
    tmp_path: Path,
) -> None:
    async with Cluster(tmp_path) as cluster:
        routers = [await cluster.router(1), await cluster.router(2)]
        await cluster.mail(1)
        bus = await cluster.client()
        await bus.target("mail.1").request("who")
        going = preferred(bus)
        waiting = asyncio.create_task(bus.target("mail.1").request("wait", 60.0, timeout=None))
        await asyncio.sleep(0)  # it is sent first, and so has begun when the next one is answered
        await bus.target("mail.1").request("who")
        routers[going].tell(signal.SIGKILL)
        with pytest.raises(RouterLost) as caught:
            await waiting
        lost = time.monotonic()
        assert caught.value.peer == f"router.{going + 1}"
        assert await bus.target("mail.1").request("who") == "mail.1"
        assert time.monotonic() - lost < 0.2
        assert preferred(bus) == 1 - going
        # It comes back, and everybody connects and registers by itself.
        await cluster.router(going + 1)
        await until(lambda: all(link.ready for link in bus.routers))

        async def known() -> bool:
            table = await bus.routers[going].stream.request("luabus.routes")  # type: ignore[union-attr]
            return any(slot["token"] for group in table["groups"] for slot in group["slots"])

        while not await known():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # another process' view: nothing tells us


async def test_a_stopped_service_is_lost_by_its_heartbeats_and_its_callers_are_told(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        await cluster.router(1)
        mail = [await cluster.mail(instance) for instance in (1, 2)]
        bus = await cluster.client()
        assert await bus.target("mail.1").request("who") == "mail.1"
        mail[0].tell(signal.SIGSTOP)
        stopped = time.monotonic()
        waiting = asyncio.create_task(bus.target("mail.1").request("who", timeout=30.0))
        others = 0
        while not waiting.done():  # the others do not notice
            assert await bus.target("mail.2").request("who", timeout=2.0) == "mail.2"
            others += 1
        with pytest.raises(PeerLost):
            await waiting
        assert 1.5 < time.monotonic() - stopped < 5.5
        assert others > 100
        with pytest.raises(luabus.NoRoute):
            await bus.target("mail.1").request("who")
        mail[0].tell(signal.SIGCONT)

        async def back() -> bool:
            try:
                return bool(await bus.target("mail.1").request("who") == "mail.1")
            except luabus.NoRoute:
                return False

        while not await back():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # another process' view: nothing tells us


async def test_a_stopped_receiver_costs_the_router_its_buffer_at_most_and_its_callers_are_overloaded(
    tmp_path: Path,
) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        router = await cluster.router(1, "--buffer", str(BUFFER))
        mail = [await cluster.mail(instance) for instance in (1, 2)]
        bus = await cluster.client()
        for _ in range(
            5
        ):  # so many that the router's memory has its size, in portions for which there is room
            await asyncio.gather(*(bus.target("mail.2").request("echo", bytes(30_000)) for _ in range(100)))
        before = router.rss
        mail[0].tell(signal.SIGSTOP)
        body = bytes(30_000)
        overloaded: Overloaded | None = None
        most = before
        deadline = time.monotonic() + 20
        while overloaded is None and time.monotonic() < deadline:
            for _ in range(30):
                await bus.target("mail.1").send("take", body)
            most = max(most, router.rss)
            begun = time.monotonic()
            assert await bus.target("mail.2").request("who") == "mail.2"
            assert time.monotonic() - begun < 1.0
            try:
                await bus.target("mail.1").request("take", body, timeout=0.05)
            except RequestTimeout:
                continue
            except (Overloaded, PeerLost) as error:
                assert isinstance(error, Overloaded), error  # noqa: PT017
                overloaded = error
        assert overloaded is not None
        assert overloaded.what == "bytes to a slow receiver"
        for _ in range(1000):  # what is sent on top of it is dropped and counted
            await bus.target("mail.1").send("take", body)
        (stats,) = [await bus.router("router.1").request("luabus.stats")]
        assert stats["undeliverable"]["overloaded"] >= 900
        most = max(most, router.rss)
        assert most - before < 3 * BUFFER + (8 << 20)
        # It is cut off by its heartbeats, and its memory is given back to the router.
        await until(
            lambda: any("mail.1" in line and "is gone" in line for line in router.said), timeout_s=15.0
        )
        mail[0].tell(signal.SIGCONT)


async def test_a_handler_that_stands_still_does_not_slow_the_others(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        await cluster.router(1)
        await cluster.mail(1)
        await cluster.mail(2)
        bus = await cluster.client()
        alone = await slowest(bus)
        bus.target("mail.1").send("block", 1.5)
        beside = await slowest(bus)
        assert beside < max(2 * alone, 0.1)


async def slowest(bus: luabus.Bus) -> float:
    """The 99th percentile of 300 round trips to mail.2, in s."""
    trips = []
    for _ in range(300):
        begun = time.monotonic()
        await bus.target("mail.2").request("who")
        trips.append(time.monotonic() - begun)
    return sorted(trips)[-3]


async def test_order_of_several_senders_is_kept_while_a_router_drains(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        routers = [await cluster.router(1), await cluster.router(2)]
        await cluster.mail(1)
        bus = await cluster.client()
        received: list[tuple[int, int]] = []
        sink = luabus.Service(
            "gateway",
            group=1,
            instance=1,
            routers=cluster.addresses,
            secret=b"the secret of the tests' programs",
        )
        sink.rpc(lambda sender, number: received.append((sender, number)), name="note")
        async with sink:
            await until(lambda: all(link.joined for link in sink.bus.routers))
            senders = [bus, *[await cluster.client() for _ in range(3)]]
            going = preferred(bus)
            ended = asyncio.Event()

            async def send(index: int) -> int:
                number = 0
                while not ended.is_set():
                    await senders[index].target("1.1").send("note", index, number)
                    number += 1
                    await asyncio.sleep(0)
                return number

            tasks = [asyncio.create_task(send(index)) for index in range(4)]
            await until(lambda: len(received) > 200)
            assert await routers[going].end() == 0
            more = len(received) + 200
            await until(lambda: len(received) > more)
            ended.set()
            sent = await asyncio.gather(*tasks)
            await until(lambda: len(received) == sum(sent))
        for index in range(4):
            assert [number for sender, number in received if sender == index] == list(range(sent[index]))


async def test_a_service_without_any_router_lives_on_and_comes_back(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        router: Program = await cluster.router(1)
        mail = await cluster.mail(1)
        router.tell(signal.SIGKILL)
        await mail.says("is lost")
        await router.code()
        await cluster.router(1)
        bus = await cluster.client()

        async def there() -> bool:
            try:
                return bool(await bus.target("mail.1").request("pid") == mail.pid)
            except luabus.NoRoute:
                return False

        while not await there():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # another process' view: nothing tells us
