"""The control channel's client against a server that answers as a launcher does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import luabus
from luabus.cluster.control_client import ControlClient, ControlConnection, ask, read_address
from luabus.errors import AuthError, LuabusError, NotConnected, Refused

SECURITY = luabus.Security.of(b"a secret of this test")


@contextlib.asynccontextmanager
async def launcher(file: Path, pid: int = 7) -> AsyncIterator[list[luabus.Stream]]:
    """Writes `file` and answers; yields the streams that are open to it."""
    streams: list[luabus.Stream] = []
    manager = luabus.SocketMgr(8, security=SECURITY._replace(principal=luabus.Principal("launcher", "demo")))
    api = luabus.Dispatcher()

    def status() -> int:
        return pid

    def refuse() -> None:
        raise Refused("not now")

    def follow(names: list[str], lines: int) -> list[dict[str, Any]]:
        stream = luabus.caller().stream
        asyncio.get_running_loop().call_soon(stream.call, "log", [{"line": "later"}])
        return [{"line": f"{names[0]} {lines}"}]

    def stop() -> None:
        stream = luabus.caller().stream

        def end() -> None:
            stream.call("stopped")
            stream.close()

        asyncio.get_running_loop().call_soon(end)

    for method in (status, refuse, follow, stop):
        api.rpc(method)

    def accept(stream: luabus.Stream) -> None:
        streams.append(stream)
        api.serve(stream)

    listener = manager.listen("127.0.0.1", 0)
    listener.on_accept = accept
    text = json.dumps({"pid": pid, "guard": 8, "host": "127.0.0.1", "port": listener.port})
    await asyncio.to_thread(file.write_text, text)
    try:
        yield streams
    finally:
        await manager.close()
        await api.close()


def test_where_a_launcher_listens(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    with pytest.raises(NotConnected, match="no launcher runs"):
        read_address(file)
    file.write_text('{"pid": 1, "host": "h", "port": 2}')
    assert read_address(file) == (1, None, "h", 2, "")
    for text in ("", "{", "[]", "5", '{"pid": "x", "port": 1, "host": "h"}', '{"pid": 1}'):
        file.write_text(text)
        with pytest.raises(NotConnected, match="cannot be read"):
            read_address(file)


async def test_one_question_without_an_event_loop(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    async with launcher(file):
        address = read_address(file)
        assert await asyncio.to_thread(ask, address, SECURITY, "status") == 7
        with pytest.raises(Refused, match="not now"):
            await asyncio.to_thread(ask, address, SECURITY, "refuse")

        def unreachable(error: LuabusError) -> Exception:
            return RuntimeError(type(error).__name__)

        with pytest.raises(RuntimeError, match="AuthError"):
            await asyncio.to_thread(
                ask, address, luabus.Security.of(b"quite another secret"), "status", unreachable=unreachable
            )


async def test_a_connection_knows_whether_the_launcher_ended_in_order(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    async with launcher(file) as streams:
        async with ControlConnection(read_address(file), SECURITY) as control:
            await control.request("stop")
            await control.closed()
            assert control.ended_in_order
            assert not control.is_open
        async with ControlConnection(read_address(file), SECURITY) as control:
            assert await control.request("status") == 7
            streams[-1].close()
            await control.closed()
            assert not control.ended_in_order
        with pytest.raises(NotConnected, match="is closed"):
            await control.request("status")


async def test_another_secret_is_told_and_leaves_nothing_open(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    async with launcher(file):
        with pytest.raises(AuthError):
            async with ControlConnection(read_address(file), luabus.Security.of(b"quite another secret")):
                pass


async def test_a_client_finds_a_launcher_that_was_started_anew(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    client = ControlClient(file, SECURITY)
    with pytest.raises(NotConnected, match="no launcher runs"):
        await client.request("status")
    for pid in (7, 9):
        async with launcher(file, pid) as streams:
            assert await asyncio.gather(client.request("status"), client.request("status")) == [pid, pid]
            assert len(streams) == 1
    await client.close()


async def test_without_a_path_there_is_no_launcher() -> None:
    with pytest.raises(NotConnected, match="LUABUS_CONTROL is not set"):
        await ControlClient(None, SECURITY).request("status")


async def test_lines_are_followed_until_the_launcher_ends(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    async with launcher(file) as streams:
        client = ControlClient(file, SECURITY)
        async with client.follow("mail.1", 7) as batches:
            assert await anext(batches) == [{"line": "mail.1 7"}]
            assert await anext(batches) == [{"line": "later"}]
            streams[-1].close()
            assert [batch async for batch in batches] == []


async def test_who_is_no_launcher_gets_no_proof(tmp_path: Path) -> None:
    """A router, or a relay to one, in the place of a launcher."""
    manager = luabus.SocketMgr(
        8, security=SECURITY._replace(principal=luabus.Principal("router", "router.1"))
    )
    port = manager.listen("127.0.0.1", 0).port
    file = tmp_path / "control.json"
    file.write_text(json.dumps({"pid": 1, "guard": None, "host": "127.0.0.1", "port": port}))
    wanted = f"launcher is wanted at 127.0.0.1:{port}, and there is router:router.1"
    with pytest.raises(AuthError, match=wanted):
        await asyncio.to_thread(ask, read_address(file), SECURITY, "status")
    with pytest.raises(AuthError, match=wanted):
        await ControlClient(file, SECURITY).request("status")
    await manager.close()
