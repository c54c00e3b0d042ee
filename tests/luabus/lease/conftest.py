"""The four stores, each on its real server. A server is started once per session, on first use."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from luabus.lease import LeaseStore, open_store
from tests.support.lease_servers import (
    EtcdServer,
    LeaseServer,
    PostgresServer,
    RedisServer,
    SqliteFile,
    StoreServer,
    running,
)

STORES = ["sqlite", "postgresql", "redis", "etcd"]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[LeaseServer]:
    yield from running(PostgresServer)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[LeaseServer]:
    yield from running(RedisServer)


@pytest.fixture(scope="session")
def etcd_server() -> Iterator[LeaseServer]:
    yield from running(EtcdServer)


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> SqliteFile:
    return SqliteFile(tmp_path_factory.mktemp("lease"))


# Of session scope, so that a server that is started here is there before a test looks what it itself leaves behind.
@pytest.fixture(scope="session", params=STORES)
def server(request: pytest.FixtureRequest) -> StoreServer:
    """Each of the four stores in turn."""
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(params=[PostgresServer, RedisServer, EtcdServer])
def fresh_server(request: pytest.FixtureRequest) -> Iterator[LeaseServer]:
    """Each of the stores that are processes: a server of the test's own, to be killed."""
    yield from running(request.param)


@pytest.fixture
def namespace() -> str:
    """Rows of this test alone."""
    return f"test-{uuid.uuid4().hex[:12]}"


class Opener:
    """Opens stores, and closes them all at the end of the test."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.opened: list[LeaseStore] = []

    def __call__(self, server: StoreServer, *, namespace: str = "", timeout_s: float = 5.0) -> LeaseStore:
        store = open_store(server.url, namespace=namespace or self.namespace, timeout_s=timeout_s)
        self.opened.append(store)
        return store


@pytest.fixture
async def connect(namespace: str) -> AsyncIterator[Opener]:
    opener = Opener(namespace)
    yield opener
    for store in opener.opened:
        await store.close()
