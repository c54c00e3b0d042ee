from __future__ import annotations

import pytest

from luabus.errors import RequestTimeout
from luabus.transport.manager import SocketMgr
from tests.support.names import Names, listening


async def test_a_stream_reaches_the_live_address(names: Names) -> None:
    names.live.close()
    mgr = SocketMgr(8)
    listener = mgr.listen("127.0.0.1", 0)
    names.port = listener.port
    names.hosts = [names.dead("127.0.0.2"), "127.0.0.1"]
    stream = mgr.connect("many.test", names.port, 1000)
    await stream.connected()
    assert stream.ip == "127.0.0.1"
    await mgr.close()


async def test_an_address_that_accepts_and_says_nothing_is_tried_last_the_next_time(names: Names) -> None:
    names.live.close()
    mgr = SocketMgr(8)
    listener = mgr.listen("127.0.0.1", 0)
    listening(names.stack, "127.0.0.2", listener.port)
    names.hosts = ["127.0.0.2", "127.0.0.1"]
    with pytest.raises(RequestTimeout):
        await mgr.connect("many.test", listener.port, 200).connected()
    stream = mgr.connect("many.test", listener.port, 1000)
    await stream.connected()
    assert stream.ip == "127.0.0.1"
    await mgr.close()
