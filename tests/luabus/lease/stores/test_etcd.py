from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web

from luabus.lease import LeaseStoreError, open_store
from luabus.lease.stores.address import parse
from luabus.lease.stores.base import LeaseRow
from luabus.lease.stores.etcd import EtcdStore, decode, encode
from tests.luabus.lease.conftest import Opener
from tests.support.lease_servers import EtcdServer, LeaseServer, running
from tests.support.ports import free_ports

FIRST = LeaseRow(group=5, holder=0x0005_0001, incarnation=2**63 - 1, epoch=1, seq=0)
NEXT = LeaseRow(group=5, holder=0x0005_0001, incarnation=2**63 - 1, epoch=1, seq=1)


class Admin:
    """The gateway, without luabus."""

    def __init__(self, server: LeaseServer, session: aiohttp.ClientSession) -> None:
        self.base = f"http://127.0.0.1:{server.port}/v3"
        self.session = session

    async def __call__(self, method: str, **body: object) -> dict[str, object]:
        async with self.session.post(f"{self.base}/{method}", json=body) as response:
            answer: dict[str, object] = await response.json()
            assert response.status == 200, answer
            return answer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_row_round_trips_and_has_one_text() -> None:
    assert decode(5, encode(FIRST)) == FIRST
    assert encode(FIRST) == encode(decode(5, encode(FIRST)))
    assert base64.b64decode(encode(NEXT)) == b"[327681, 9223372036854775807, 1, 1, 0]"


@pytest.mark.parametrize("text", ["", "{}", "[1, 2, 3]", '["a", 1, 1, 1, 1]', "no JSON"])
def test_what_is_no_row(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(5, base64_of(text))


async def test_a_key_that_is_something_else(
    etcd_server: LeaseServer, session: aiohttp.ClientSession, connect: Opener
) -> None:
    await Admin(etcd_server, session)(
        "kv/put", key=base64_of(f"{connect.namespace}/lease/5"), value=base64_of("a text")
    )
    with pytest.raises(LeaseStoreError, match="the key of group 5 holds no lease"):
        await connect(etcd_server).read(5)


async def test_the_next_endpoint_is_asked_when_one_fails(etcd_server: LeaseServer, connect: Opener) -> None:
    store = open_store(
        f"etcd://127.0.0.1:{free_ports()},127.0.0.1:{etcd_server.port}", namespace=connect.namespace
    )
    with pytest.raises(LeaseStoreError):
        await store.compare_and_set(5, None, FIRST)
    assert await store.compare_and_set(5, None, FIRST)
    assert await store.read(5) == FIRST
    await store.close()


async def test_another_server_behind_the_address() -> None:
    """Whatever answers, the error is the typed one; an answer that says nothing is no missing row."""
    texts = iter(["<html>welcome</html>", "[1]", "{}", "x" * 200_000, ""])

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=next(texts))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store = open_store(f"etcd://127.0.0.1:{runner.addresses[0][1]}")
    try:
        for _ in range(5):
            with pytest.raises(LeaseStoreError, match="not an answer of etcd's v3 gateway"):
                await store.read(5)
    finally:
        await store.close()
        await runner.cleanup()


def test_the_default_port() -> None:
    store = EtcdStore(parse("etcd://one,two:1234,[::1],[::1]:99", {}))
    assert store._endpoints == ["http://one:2379", "http://two:1234", "http://[::1]:2379", "http://[::1]:99"]
    assert EtcdStore(parse("etcds://one", {}))._endpoints == ["https://one:2379"]


@pytest.fixture(scope="module")
def locked_server() -> Iterator[LeaseServer]:
    yield from running(EtcdServer)


async def test_user_and_password(
    locked_server: LeaseServer, session: aiohttp.ClientSession, connect: Opener
) -> None:
    admin = Admin(locked_server, session)
    await admin("auth/user/add", name="root", password="r00t")
    await admin("auth/role/add", name="root")
    await admin("auth/user/grant", user="root", role="root")
    await admin("auth/user/add", name="luabus", password="p@ss/w:rd")
    await admin("auth/role/add", name="leases")
    await admin(
        "auth/role/grant",
        name="leases",
        perm={"permType": "READWRITE", "key": base64_of(connect.namespace), "range_end": base64_of("test.")},
    )
    await admin("auth/user/grant", user="luabus", role="leases")
    await admin("auth/enable")
    host = f"127.0.0.1:{locked_server.port}"
    store = open_store(f"etcd://luabus:p%40ss%2Fw%3Ard@{host}", namespace=connect.namespace)
    assert isinstance(store, EtcdStore)
    assert await store.compare_and_set(5, None, FIRST)
    assert await store.read(5) == FIRST
    store._token = "long.expired"
    assert await store.compare_and_set(5, FIRST, NEXT), "a token that has run out is replaced"
    assert await store.read(5) == NEXT
    await store.close()
    for wrong in (f"etcd://luabus:hunter2@{host}", f"etcd://{host}"):
        store = open_store(wrong, namespace=connect.namespace)
        with pytest.raises(LeaseStoreError, match=r"authentication failed|user name is empty") as caught:
            await store.read(5)
        assert "hunter2" not in str(caught.value)
        await store.close()
