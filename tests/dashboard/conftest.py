"""The dashboard's application over a scripted cluster, and clients with and without rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from dashboard.app import make_app
from dashboard.auth import Keys, Role
from dashboard.context import Context, Options
from dashboard.feed import Feed
from dashboard.journal import Journal
from tests.dashboard.cluster import Clock, ScriptedCluster

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
        """Have the feed see what the test changed in the cluster."""
        await self.context.feed.poll()


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
            feed=Feed(cluster, now=clock),
            keys=Keys(TOKENS),
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
