"""The dashboard's application over a scripted cluster, and clients with and without rights."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

import luabus
from dashboard.app import make_app
from dashboard.collector.cluster_source import ClusterSource
from dashboard.collector.journal import Journal
from dashboard.collector.poller import Poller
from dashboard.http.context import Context, Options
from dashboard.http.tokens import Role, Tokens
from tests.dashboard.cluster import Clock, ScriptedCluster

SECRET = "a secret of these tests"
TOKENS = {Role.viewer: "viewer-token", Role.operator: "operator-token", Role.admin: "admin-token"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE = {"Accept": "text/html"}


@dataclass
class Dash:
    """The application under test. `get` and `post` go as the admin, unless told otherwise."""

    cluster: ScriptedCluster
    context: Context
    clock: Clock
    client: TestClient[Any, Any]

    async def get(self, path: str, role: Role | None = Role.admin, **headers: str) -> ClientResponse:
        return await self.client.get(path, headers=bearer(role) | headers, allow_redirects=False)

    async def post(
        self, path: str, json: Any = None, role: Role | None = Role.admin, **headers: str
    ) -> ClientResponse:
        return await self.client.post(path, json=json, headers=bearer(role) | headers, allow_redirects=False)

    async def json(self, path: str, role: Role | None = Role.admin) -> Any:
        answer = await self.get(path, role)
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def look(self) -> None:
        """Have the poller see what the test changed in the cluster."""
        await self.context.poller.poll()


def bearer(role: Role | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[role]}"} if role is not None else {}


Make = Callable[..., Awaitable[Dash]]


@pytest.fixture
async def make_dash() -> AsyncIterator[Make]:
    clients: list[TestClient[Any, Any]] = []

    async def make(cluster: ScriptedCluster | None = None, **options: Any) -> Dash:
        cluster = cluster or ScriptedCluster()
        clock = Clock()
        context = Context(
            poller=Poller(cluster, now=clock),
            tokens=Tokens(TOKENS),
            journal=Journal(None, clock),
            options=Options(**options),
            now=clock,
        )
        client: TestClient[Any, Any] = TestClient(TestServer(make_app(context)))
        await client.start_server()
        clients.append(client)
        return Dash(cluster, context, clock, client)

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def dash(make_dash: Make) -> Dash:
    return await make_dash()


Routed = tuple[list[luabus.Router], Poller, TestClient[Any, Any]]
"""Two real routers, and a dashboard over them: its poller, and a client of it."""


@pytest.fixture
async def routed(tmp_path: Path) -> AsyncIterator[Routed]:
    (tmp_path / "secret").write_text(SECRET)
    async with AsyncExitStack() as stack:
        routers = [luabus.Router(f"router.{n}", port=0, secret=SECRET) for n in (1, 2)]
        for router in routers:
            await stack.enter_async_context(router)
        environ = {
            "LUABUS_ROUTERS": ",".join(f"127.0.0.1:{router.port}" for router in routers),
            "LUABUS_SECRET_FILE": str(tmp_path / "secret"),
        }
        poller = Poller(ClusterSource(environ))
        context = Context(
            poller=poller, tokens=Tokens(TOKENS), journal=Journal(None, time.time), options=Options()
        )
        client: TestClient[Any, Any] = TestClient(TestServer(make_app(context)))
        await stack.enter_async_context(client)
        yield routers, poller, client
