from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest

from luabus.lease import LeaseStoreError, open_store
from luabus.lease.stores.address import parse
from luabus.lease.stores.base import LeaseRow
from luabus.lease.stores.postgres import PostgresStore
from tests.luabus.lease.conftest import Opener
from tests.support.lease_servers import LeaseServer

FIRST = LeaseRow(group=5, holder=0x0005_0001, incarnation=1, epoch=1, seq=0)
NEXT = LeaseRow(group=5, holder=0x0005_0001, incarnation=1, epoch=1, seq=1)


@pytest.fixture
def admin(postgresql_server: LeaseServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        yield connection


async def test_a_wrong_password_is_said_without_showing_any(postgresql_server: LeaseServer) -> None:
    store = open_store(f"postgresql://luabus:hunter2@127.0.0.1:{postgresql_server.port}/postgres")
    with pytest.raises(LeaseStoreError, match="password authentication failed") as caught:
        await store.read(5)
    assert "hunter2" not in str(caught.value)
    await store.close()


async def test_a_database_that_is_not_there(postgresql_server: LeaseServer) -> None:
    store = open_store(postgresql_server.url.replace("/postgres", "/absent"))
    with pytest.raises(LeaseStoreError, match='database "absent" does not exist'):
        await store.read(5)
    await store.close()


async def test_libpq_finds_the_password_by_itself(
    postgresql_server: LeaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "p@ss/w:rd")
    store = open_store(f"postgresql://luabus@127.0.0.1:{postgresql_server.port}/postgres")
    assert await store.read(5) is None
    await store.close()


async def test_a_role_that_may_not_create_uses_the_table_that_is_there(
    postgresql_server: LeaseServer, admin: psycopg.Connection[tuple[object, ...]], connect: Opener
) -> None:
    await connect(postgresql_server).read(5)
    admin.execute("CREATE ROLE reader LOGIN PASSWORD 'r'")
    admin.execute("GRANT SELECT, INSERT, UPDATE ON luabus_lease TO reader")
    admin.execute("ALTER ROLE reader SET synchronous_commit = off")
    address = parse(f"postgresql://reader:r@127.0.0.1:{postgresql_server.port}/postgres", {})
    store = PostgresStore(address, namespace=connect.namespace)
    try:
        assert await store.compare_and_set(5, None, FIRST)
        assert store._connection is not None
        shown = store._connection.execute("SHOW synchronous_commit").fetchone()
        assert shown == ("on",), "what is confirmed must be on disk, whatever the role's setting"
    finally:
        await store.close()
        admin.execute("DROP OWNED BY reader")
        admin.execute("DROP ROLE reader")


async def test_a_row_that_somebody_keeps_locked(
    postgresql_server: LeaseServer, admin: psycopg.Connection[tuple[object, ...]], connect: Opener
) -> None:
    store, patient = connect(postgresql_server, timeout_s=0.5), connect(postgresql_server)
    await store.compare_and_set(5, None, FIRST)
    with admin.transaction():
        admin.execute("SELECT * FROM luabus_lease WHERE namespace = %s FOR UPDATE", [connect.namespace])
        began = time.monotonic()
        with pytest.raises(LeaseStoreError):
            await store.compare_and_set(5, FIRST, NEXT)
        assert time.monotonic() - began < 1.0
        waiting = asyncio.create_task(patient.compare_and_set(5, FIRST, NEXT))
    # What was given up may have been carried out all the same, as its error says: then this one comes too late.
    await waiting
    assert await store.read(5) == NEXT


async def test_a_session_that_the_server_ends(
    postgresql_server: LeaseServer, admin: psycopg.Connection[tuple[object, ...]], connect: Opener
) -> None:
    store = connect(postgresql_server)
    await store.compare_and_set(5, None, FIRST)
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'luabus'")
    with pytest.raises(LeaseStoreError):
        await store.read(5)
    assert await store.read(5) == FIRST


async def test_a_server_that_takes_no_writes_is_no_store(
    postgresql_server: LeaseServer, admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    """A standby would answer reads, of the past."""
    admin.execute("CREATE ROLE standby LOGIN PASSWORD 's'")
    admin.execute("ALTER ROLE standby SET default_transaction_read_only = on")
    store = open_store(f"postgresql://standby:s@127.0.0.1:{postgresql_server.port}/postgres")
    try:
        with pytest.raises(LeaseStoreError, match="read-only"):
            await store.read(5)
    finally:
        await store.close()
        admin.execute("DROP ROLE standby")
