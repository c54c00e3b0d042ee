from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from luabus.errors import RequestTimeout
from luabus.transport.dialing import open_connection
from luabus.transport.manager import SocketMgr
from luabus.transport.resolver import Endpoint, in_turn, look_up, numeric, stagger_s
from tests.support.names import Names


def test_addresses_take_turns_by_family_and_those_that_failed_come_last() -> None:
    v4 = [Endpoint(socket.AF_INET, (f"127.0.0.{n}", 1)) for n in (1, 2, 3)]
    v6 = [Endpoint(socket.AF_INET6, (f"::{n}", 1, 0, 0)) for n in (1, 2)]
    assert in_turn([*v6, *v4]) == [v6[0], v4[0], v6[1], v4[1], v4[2]]
    assert in_turn(v4, {("127.0.0.1", 1)}) == [v4[1], v4[2], v4[0]]
    assert [stagger_s(2, 3.0), stagger_s(2, 0.3), stagger_s(2, None)] == pytest.approx([0.25, 0.1, 0.25])
    assert str(v6[0]) == "[::1]:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_an_address_in_figures_is_not_looked_up(host: str, names: Names) -> None:
    endpoint = numeric(host, 5)
    assert endpoint is not None
    assert endpoint.address[:2] == (host, 5)
    assert names.looked_up == []
    assert [numeric(name, 5) for name in ("localhost", "a:b", "127.1", "::1%nosuch")] == [None] * 4
    loopback = numeric("fe80::1%lo", 5)
    assert loopback is not None
    assert loopback.address == ("fe80::1", 5, 0, socket.if_nametoindex("lo"))


async def test_a_resolver_that_hangs_holds_up_nobody_else(names: Names) -> None:
    hung = [f"hung-{n}.test" for n in range(40)]
    names.slow.update({name: threading.Event() for name in hung})
    mgr = SocketMgr(100)
    streams = [mgr.connect(name, names.port, 200) for name in hung for _ in range(2)]
    ends = asyncio.gather(*(stream.connected() for stream in streams), return_exceptions=True)
    began = time.monotonic()
    await asyncio.to_thread(lambda: None)
    _, writer = await open_connection("live.test", names.port)
    writer.close()
    assert time.monotonic() - began < 0.5
    assert {type(end) for end in await ends} == {RequestTimeout}
    with pytest.raises(RequestTimeout):  # the one look-up of that name still is under way
        await mgr.connect(hung[0], names.port, 50).connected()
    assert sorted(name for name in names.looked_up if name in hung) == sorted(hung)
    await mgr.close()


def test_a_failed_look_up_is_not_remembered(names: Names) -> None:
    with pytest.raises(socket.gaierror):
        look_up("no such name", 1).result(5)
    assert look_up("live.test", 1).result(5) == [Endpoint(socket.AF_INET, ("127.0.0.1", 1))]
