"""Mutated frames at a live router and, through it, at a live service, while a healthy client goes on. `make soak` sends more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from luabus.errors import LuabusError, ProtocolError
from luabus.protocol.frames import split
from tests.support.fuzz import Lane, corpus, mutations
from tests.support.programs import SECRET, Cluster

LANES = 8


def test_the_same_seed_gives_the_same_frames_and_most_of_them_are_frames() -> None:
    first = list(mutations(1, 2000))
    assert first == list(mutations(1, 2000))
    assert first != list(mutations(2, 2000))
    whole = 0
    for data, _ in first:
        try:
            whole += any(end == len(data) for _, end in split(data, 1 << 20))
        except LuabusError:
            continue
    assert whole > 0.95 * len(first)
    assert {frame.kind for frame in corpus()} >= {
        kind for kind in type(corpus()[0].kind) if kind.value > 3 and kind.name != "BYE"
    }


async def fuzz(folder: Path, count: int, seed: int) -> None:
    async with Cluster(folder, 1) as cluster, asyncio.timeout(max(100, count / 1000)):
        router = await cluster.router(1)
        mail = await cluster.mail(1)
        bus = await cluster.client()
        ended = asyncio.Event()
        answered = 0

        async def healthy() -> None:
            nonlocal answered
            while not ended.is_set():
                assert await bus.target("mail.1").request("echo", answered, timeout=20.0) == answered
                assert await bus.hash("mail", answered).request("who", timeout=20.0) == "mail.1"
                answered += 1

        client = asyncio.create_task(healthy())
        lanes = [Lane(cluster.first_port, SECRET) for _ in range(LANES)]

        async def hostile(part: int, parts: int) -> None:
            await asyncio.gather(
                *(
                    lane.run(mutations(seed + part * 100 + n, count // parts // LANES))
                    for n, lane in enumerate(lanes)
                )
            )

        await hostile(0, 4)  # until everything has been used once
        memory = router.rss, mail.rss
        for part in (1, 2, 3):
            await hostile(part, 4)
        ended.set()
        await client
        assert sum(lane.handled for lane in lanes) >= count // 4 // LANES * 4 * LANES
        assert sum(lane.connections for lane in lanes) > count / 100
        assert answered > 50
        assert router.rss - memory[0] < 12 << 20
        assert mail.rss - memory[1] < 12 << 20
        for program in (router, mail):
            assert "Traceback" not in program.text, program.text[-3000:]
        stats = await bus.router("router.1").request("luabus.stats")
        assert stats["connections"] == 2
        assert stats["requests_in_flight"] == 0
        assert any("ProtocolError" in closed["reason"] or closed["reason"] for closed in stats["closed"])
        assert await router.end() == 0
        assert await mail.end() == 0


async def test_100_000_mutated_frames_do_not_disturb_a_healthy_client_and_the_memory_stays_flat(
    tmp_path: Path,
) -> None:
    await fuzz(tmp_path, 100_000, seed=20_260_101)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_1_000_000_mutated_frames(tmp_path: Path) -> None:
    await fuzz(tmp_path, 1_000_000, seed=20_270_101)


async def test_a_stranger_without_the_secret_gets_nowhere_with_any_of_them(tmp_path: Path) -> None:
    """Mutated frames instead of a handshake: three hundred connections, each ended before its second frame."""
    async with Cluster(tmp_path, 1) as cluster:
        router = await cluster.router(1)
        bus = await cluster.client()
        for data, _ in mutations(3, 300):
            reader, writer = await asyncio.open_connection("127.0.0.1", cluster.first_port)
            writer.write(data + bytes(24))
            answer = await reader.read()
            assert not answer or ProtocolError.__name__.encode() in answer
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                continue
        stats = await bus.router("router.1").request("luabus.stats")
        assert stats["connections"] == 1
        assert stats["messages_in"] < 100
        assert "Traceback" not in router.text
