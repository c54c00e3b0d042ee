"""The source against real routers, a real service, and a control channel as the launcher serves it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import luabus
from dashboard.collector.cluster_source import ClusterSource
from dashboard.collector.poller import Poller
from luabus.errors import ConfigError, LuabusError, NotConnected, Refused, RemoteError
from tests.support.bus import document

SECRET = "a secret of this test"


@contextlib.asynccontextmanager
async def control_channel(file: Path) -> AsyncIterator[list[tuple[Any, ...]]]:
    """What the launcher's end of the control channel is: an authenticated stream with RPC methods; yields what was asked."""
    requests: list[tuple[Any, ...]] = []
    manager = luabus.SocketMgr(8, security=luabus.Security.of(SECRET, luabus.Principal("launcher", "demo")))
    api = luabus.Dispatcher()

    def processes() -> list[dict[str, Any]]:
        requests.append(("processes",))
        return [{"name": "mail.1", "service": "mail", "service_id": "2.1", "state": "running"}]

    def kill(name: str, signal: str, who: dict[str, str]) -> dict[str, Any]:
        requests.append(("kill", name, signal, who))
        if name != "mail.1":
            raise Refused(f"{name} has no process")
        return {"ok": True}

    def logs(names: list[str], lines: int) -> list[dict[str, str]]:
        return [{"line": "x" * 1000}] * lines

    api.rpc(processes)
    api.rpc(kill)
    api.rpc(logs)

    def accept(stream: luabus.Stream) -> None:
        stream.set_send_buffer_size(16 << 20)
        api.serve(stream)

    listener = manager.listen("127.0.0.1", 0)
    listener.on_accept = accept
    written = json.dumps({"pid": os.getpid(), "host": "127.0.0.1", "port": listener.port})
    await asyncio.to_thread(file.write_text, written)
    try:
        yield requests
    finally:
        await manager.close()
        await api.close()


@pytest.fixture
async def routers() -> AsyncIterator[list[luabus.Router]]:
    async with contextlib.AsyncExitStack() as stack:
        routers = [
            luabus.Router(f"router.{n}", port=0, secret=SECRET, cluster=document({"mail": (2, 2)}))
            for n in (1, 2)
        ]
        for router in routers:
            await stack.enter_async_context(router)
        yield routers


def environ(routers: list[luabus.Router], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret").write_text(SECRET)
    return {
        "LUABUS_CLUSTER": "demo",
        "LUABUS_ROUTERS": ",".join(f"127.0.0.1:{router.port}" for router in routers),
        "LUABUS_SECRET_FILE": str(tmp_path / "secret"),
        "LUABUS_CONTROL": str(tmp_path / "control.json"),
    }


async def until(poller: Poller, ready: Any) -> None:
    """Look until what is known satisfies `ready`; the bus tells when to look."""
    async with asyncio.timeout(10):
        while not ready(poller.snapshot):
            await poller.changed(poller.snapshot.versions, ("status", "routes", "connections", "processes"))


async def test_tables_and_connections_come_from_every_router(
    routers: list[luabus.Router], tmp_path: Path
) -> None:
    service = luabus.Service(
        "mail", group=2, instance=1, routers=[f"127.0.0.1:{r.port}" for r in routers], secret=SECRET
    )
    poller = Poller(ClusterSource(environ(routers, tmp_path)))
    await poller.start()
    with poller.watching():
        async with service:
            await until(poller, lambda s: len(s.routers) == 2 and all(
                r.connected and any(slot.token for g in r.groups for slot in g.slots) for r in s.routers
            ))  # fmt: skip
            snapshot = await poller.poll()
            assert [(r.name, r.address) for r in snapshot.routers] == [
                (r.name, f"127.0.0.1:{r.port}") for r in routers
            ]
            (mail,) = [group for group in snapshot.groups() if group.group == 2]
            assert [(slot.name, bool(slot.token)) for slot in mail.slots] == [
                ("mail.1", True),
                ("mail.2", False),
            ]
            assert {row.router for row in snapshot.connections if row.name == "mail.1"} == {
                "router.1",
                "router.2",
            }
            assert sum(row.preferred for row in snapshot.connections if row.name == "mail.1") == 1
            assert snapshot.routers[0].stats is not None
            assert snapshot.routers[0].stats.messages_in > 0

            done = await poller.source.register("2.1", 0, False, "*")
            assert done == {"router.1": "done", "router.2": "done"}
            await until(poller, lambda s: not any(slot.token for g in s.groups() for slot in g.slots))
            await poller.source.register("2.1", "own", False, "*")
            await until(poller, lambda s: any(slot.token for g in s.groups() for slot in g.slots))
            with pytest.raises(Refused, match="joined as"):
                await poller.source.register("2.2", "own", False, "*")
        await until(poller, lambda s: not any(slot.token for g in s.groups() for slot in g.slots))
    await poller.stop()


async def test_a_router_that_dies_is_seen_and_its_table_kept(
    routers: list[luabus.Router], tmp_path: Path
) -> None:
    poller = Poller(ClusterSource(environ(routers, tmp_path)))
    await poller.start()
    with poller.watching():
        await until(poller, lambda s: len(s.routers) == 2 and all(r.connected for r in s.routers))
        await routers[1].stop(0.0)
        await until(poller, lambda s: not s.routers[1].connected)
        assert [group.name for group in poller.snapshot.routers[1].groups] == ["mail"]
        await routers[0].stop(0.0)
        await until(poller, lambda s: not s.routed)
        assert "router" in (poller.snapshot.bus_error or "") or "127.0.0.1" in (
            poller.snapshot.bus_error or ""
        )
    await poller.stop()


async def test_a_connection_is_closed_by_hand(routers: list[luabus.Router], tmp_path: Path) -> None:
    poller = Poller(ClusterSource(environ(routers, tmp_path)))
    await poller.start()
    with poller.watching():
        async with luabus.connect([f"127.0.0.1:{routers[0].port}"], secret=SECRET):
            await until(poller, lambda s: sum(row.router == "router.1" for row in s.connections) == 2)
            other = max(poller.snapshot.connections, key=lambda row: (row.router == "router.1", row.token))
            await poller.source.close_connection("router.1", other.token)
            await until(
                poller,
                lambda s: all(row.token != other.token for row in s.connections if row.router == "router.1"),
            )
            snapshot = await poller.poll()
            assert snapshot.routers[0].stats is not None
            assert "administrator" in snapshot.routers[0].stats.closed[-1].reason
    await poller.stop()


async def test_the_launcher_answers_and_refuses_in_its_own_words(
    routers: list[luabus.Router], tmp_path: Path
) -> None:
    source = ClusterSource(environ(routers, tmp_path))
    async with control_channel(tmp_path / "control.json") as requests:
        assert [row["name"] for row in await source.ask("processes")] == ["mail.1"]
        assert await source.tell("kill", "mail.1", "SIGKILL", {"by": "admin"}) == {"ok": True}
        with pytest.raises(Refused, match=r"mail\.2 has no process"):
            await source.tell("kill", "mail.2", "SIGKILL", {})
        assert len(await source.ask("logs", ["mail.1"], 5000)) == 5000
        assert ("kill", "mail.1", "SIGKILL", {"by": "admin"}) in requests
    await source.stop()


async def test_a_launcher_that_was_started_anew_is_found(
    routers: list[luabus.Router], tmp_path: Path
) -> None:
    source = ClusterSource(environ(routers, tmp_path))
    with pytest.raises(NotConnected, match="no launcher runs"):
        await source.ask("processes")
    for _ in range(2):
        async with control_channel(tmp_path / "control.json") as requests:
            await source.ask("processes")
            assert requests == [("processes",)]
    with pytest.raises(LuabusError):
        await source.ask("processes")
    (tmp_path / "control.json").write_text("{")
    with pytest.raises(NotConnected, match="cannot be read"):
        await source.ask("processes")
    await source.stop()


async def test_what_the_environment_must_say(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LUABUS_ROUTERS"):
        ClusterSource({})
    with pytest.raises(ConfigError, match="cannot be read"):
        ClusterSource({"LUABUS_ROUTERS": "127.0.0.1:1", "LUABUS_SECRET_FILE": str(tmp_path / "none")})
    source = ClusterSource({"LUABUS_ROUTERS": "127.0.0.1:1"})
    with pytest.raises(NotConnected, match="LUABUS_CONTROL is not set"):
        await source.ask("processes")


async def test_requests_go_to_every_route_and_tell_who_answered(
    routers: list[luabus.Router], tmp_path: Path
) -> None:
    addresses = [f"127.0.0.1:{router.port}" for router in routers]
    services = [luabus.Service("mail", group=2, instance=n, routers=addresses, secret=SECRET) for n in (1, 2)]
    for service in services:
        service.rpc(lambda box="": f"opened {box}", name="open")
        service.rpc(lambda: {}["x"], name="fail")
    source = ClusterSource(environ(routers, tmp_path))
    poller = Poller(source)
    await poller.start()
    async with services[0], services[1]:
        with poller.watching():
            await until(
                poller,
                lambda s: any(g.group == 2 and len([x for x in g.slots if x.token]) == 2 for g in s.groups()),
            )
        (answer,) = await source.call("target:mail.2", "open", ["a"], 5.0, False)
        assert answer == ("2.2", "opened a", None)
        (answer,) = await source.call("random:mail", "open", [], 5.0, False)
        assert answer.service_id in ("2.1", "2.2")
        both = await source.call("broadcast:mail", "open", ["b"], 5.0, False)
        assert [(one.service_id, one.value) for one in both] == [("2.1", "opened b"), ("2.2", "opened b")]
        assert await source.call("hash:mail:alice", "open", [], 5.0, True) == []
        with pytest.raises(LuabusError) as raised:
            await source.call("random:nobody", "open", [], 5.0, False)
        assert raised.value.answered_by is None
        with pytest.raises(RemoteError) as failed:
            await source.call("target:mail.2", "fail", [], 5.0, False)
        assert failed.value.answered_by == 0x0002_0002
        declared = await source.methods(2, 5.0)
        assert set(declared) == {"2.1", "2.2"}
        assert "open" in [one["name"] for one in declared["2.1"]]
    await poller.stop()


async def test_a_log_is_followed_until_the_launcher_ends(
    routers: list[luabus.Router], tmp_path: Path
) -> None:
    manager = luabus.SocketMgr(2, security=luabus.Security.of(SECRET, luabus.Principal("launcher", "demo")))
    api = luabus.Dispatcher()

    async def follow(names: list[str], lines: int) -> list[dict[str, str]]:
        stream = luabus.caller().stream
        asyncio.get_running_loop().call_soon(lambda: stream.call("log", [{"line": "later"}]))
        return [{"line": f"{names[0]} {lines}"}]

    api.rpc(follow)
    listener = manager.listen("127.0.0.1", 0)
    listener.on_accept = api.serve
    written = json.dumps({"pid": os.getpid(), "host": "127.0.0.1", "port": listener.port})
    await asyncio.to_thread((tmp_path / "control.json").write_text, written)
    source = ClusterSource(environ(routers, tmp_path))
    async with source.follow("mail.1", 7) as batches:
        assert await anext(batches) == [{"line": "mail.1 7"}]
        assert await anext(batches) == [{"line": "later"}]
        await manager.close()
        assert [batch async for batch in batches] == []
    await api.close()
    await source.stop()
