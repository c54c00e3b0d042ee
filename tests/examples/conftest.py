"""A router and a client in this process, and any instance of the examples started beside them."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType

import pytest

import luabus
from luabus.routing.cluster_document import ClusterDocument, GroupFacts
from tests.support.imports import ROOT

GROUPS = {"gateway": 1, "mail": 2, "director": 3, "robot": 4, "room": 5}
SECRET = "a secret of the examples' tests"


class Demo:
    """`bus` is a client's; `start("mail", 2)` runs examples/mail.py as mail.2 and returns its module."""

    def __init__(
        self, router: luabus.Router, bus: luabus.Bus, stack: AsyncExitStack, env: pytest.MonkeyPatch
    ) -> None:
        self.bus = bus
        self._router = router
        self._stack = stack
        self._env = env

    async def start(self, name: str, instance: int = 1) -> ModuleType:
        # Each instance has a module of its own, as in its own process: the examples keep their state in globals.
        spec = importlib.util.spec_from_file_location(f"{name}_{instance}", ROOT / "examples" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._env.setenv("LUABUS_GROUP", str(GROUPS[name]))
        self._env.setenv("LUABUS_INSTANCE", str(instance))
        self._env.setenv("LUABUS_ROUTE", "master" if name == "director" else "")
        await self._stack.enter_async_context(module.service)
        return module


@pytest.fixture
async def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Demo]:
    groups = {name: GroupFacts(group, 3 if name == "mail" else None) for name, group in GROUPS.items()}
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(
            luabus.Router("router.1", port=0, cluster=ClusterDocument(groups), secret=SECRET.encode())
        )
        address = f"127.0.0.1:{router.port}"
        bus = await stack.enter_async_context(luabus.connect([address], secret=SECRET, groups=GROUPS))
        monkeypatch.setenv("LUABUS_ROUTERS", address)
        monkeypatch.setenv("LUABUS_SECRET_FILE", str(secret))
        monkeypatch.setenv("LUABUS_LEASE", f"sqlite:///{tmp_path}/lease.db")
        monkeypatch.setenv("LUABUS_LEASE_TTL", "1.0")
        monkeypatch.setenv("LUABUS_LEASE_RENEW", "0.1")
        yield Demo(router, bus, stack, monkeypatch)
