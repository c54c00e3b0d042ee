from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from luabus.lease import LeaseStoreError, open_store
from luabus.lease.stores.base import LeaseRow
from tests.luabus.lease.conftest import Opener
from tests.support.lease_servers import LeaseServer

FIRST = LeaseRow(group=5, holder=0x0005_0001, incarnation=1, epoch=1, seq=0)
NEXT = LeaseRow(group=5, holder=0x0005_0001, incarnation=1, epoch=1, seq=1)


@pytest.fixture
def admin(redis_server: LeaseServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


async def test_the_row_is_a_hash_that_a_person_can_read(
    redis_server: LeaseServer, admin: redis.Redis, connect: Opener
) -> None:
    await connect(redis_server).compare_and_set(5, None, FIRST)
    assert admin.hgetall(f"{connect.namespace}:lease:5") == {
        "holder": str(0x0005_0001),
        "incarnation": "1",
        "epoch": "1",
        "seq": "0",
        "heir": "0",
    }


async def test_user_and_password(redis_server: LeaseServer, admin: redis.Redis, connect: Opener) -> None:
    key = f"~{connect.namespace}:lease:*"
    admin.execute_command("ACL", "SETUSER", "elector", "on", ">p@ss/w:rd", key, "+hmget", "+hset", "+eval")
    host = f"127.0.0.1:{redis_server.port}"
    store = open_store(f"redis://elector:p%40ss%2Fw%3Ard@{host}/0", namespace=connect.namespace)
    assert await store.compare_and_set(5, None, FIRST)
    assert await store.read(5) == FIRST
    await store.close()
    for wrong in (f"redis://elector:hunter2@{host}/0", f"redis://hunter2:p%40ss%2Fw%3Ard@{host}/0"):
        store = open_store(wrong, namespace=connect.namespace)
        with pytest.raises(LeaseStoreError, match="invalid username-password") as caught:
            await store.read(5)
        assert "hunter2" not in str(caught.value)
        await store.close()
    admin.execute_command("ACL", "DELUSER", "elector")


async def test_a_key_that_is_something_else(
    redis_server: LeaseServer, admin: redis.Redis, connect: Opener
) -> None:
    admin.set(f"{connect.namespace}:lease:5", "a text")
    with pytest.raises(LeaseStoreError, match="WRONGTYPE"):
        await connect(redis_server).read(5)
    admin.hset(f"{connect.namespace}:lease:6", mapping={"epoch": "many"})
    with pytest.raises(LeaseStoreError, match="holds no lease"):
        await connect(redis_server).read(6)


async def test_a_connection_that_the_server_ends(
    redis_server: LeaseServer, admin: redis.Redis, connect: Opener
) -> None:
    """The operation is not tried again behind the caller's back; the next one connects anew."""
    store = connect(redis_server)
    await store.compare_and_set(5, None, FIRST)
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    try:
        done = await store.compare_and_set(5, FIRST, NEXT)
    except LeaseStoreError:
        done = await store.compare_and_set(5, FIRST, NEXT)
    assert done
    assert await store.read(5) == NEXT


async def test_a_server_without_room(redis_server: LeaseServer, admin: redis.Redis, connect: Opener) -> None:
    store = connect(redis_server)
    await store.read(5)
    admin.config_set("maxmemory", "1")
    try:
        with pytest.raises(LeaseStoreError, match="maxmemory"):
            await store.compare_and_set(5, None, FIRST)
    finally:
        admin.config_set("maxmemory", "0")
    assert await store.compare_and_set(5, None, FIRST)
