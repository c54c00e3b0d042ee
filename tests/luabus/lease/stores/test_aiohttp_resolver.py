from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from luabus.lease.stores.aiohttp_resolver import Resolver


async def test_a_name_is_looked_up_beside_the_loops_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    real, hung = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host.startswith("hung"):
            hung.wait(20)
        return real("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = Resolver()
    waiting = [asyncio.create_task(resolver.resolve(f"hung-{n}.test", 2379)) for n in range(40)]
    async with asyncio.timeout(5):
        await asyncio.to_thread(lambda: None)
        (found,) = await resolver.resolve("etcd.test", 2379)
        assert (found["hostname"], found["host"], found["port"]) == ("etcd.test", "127.0.0.1", 2379)
        assert found["family"] == socket.AF_INET
        assert await resolver.resolve("etcd.test", 2379, socket.AF_INET6) == []
    hung.set()
    assert len(await asyncio.gather(*waiting)) == 40
    await resolver.close()
