"""Which event loop drives a manager."""

from __future__ import annotations

import asyncio

import pytest

from luabus.errors import Refused
from luabus.transport.manager import SocketMgr, create_socket_mgr
from luabus.transport.stream import Stream
from tests.support.game import Game
from tests.support.streams import Pair


async def test_inside_a_running_loop_no_wait_is_needed_and_it_says_so() -> None:
    async with Pair() as pair:
        pair.client.call("m")
        assert await pair.heard.of("call") == ("m",)
        with pytest.raises(Refused, match="inside a running loop no wait is needed"):
            pair.server_mgr.wait(1)
        with pytest.raises(Refused, match="inside a running loop no wait is needed"):
            create_socket_mgr(1).wait(1)


def test_a_manager_from_outside_of_the_running_loop_says_so_instead_of_never_doing_anything() -> None:
    with Game() as game:

        async def inside() -> None:
            with pytest.raises(Refused, match="first used outside of the event loop that runs now"):
                game.client.connect("127.0.0.1", game.server_port)
            with pytest.raises(Refused, match="first used outside of the event loop that runs now"):
                game.server.listen("127.0.0.1", 0)

        asyncio.run(inside())


def test_a_manager_whose_loop_has_ended_says_so() -> None:
    mgr = create_socket_mgr(2)

    async def inside() -> None:
        mgr.listen("127.0.0.1", 0)
        await mgr.close()

    asyncio.run(inside())
    with pytest.raises(Refused, match="the event loop of this manager has ended"):
        mgr.listen("127.0.0.1", 0)
    with pytest.raises(Refused, match="the event loop of this manager has ended"):
        mgr.connect("127.0.0.1", 1)


def test_in_a_plain_loop_one_managers_callback_may_use_another_manager() -> None:
    with Game() as game:
        game.frames(until=("connect", "ok"))
        streams: list[Stream] = []

        def connect(msg: str, *args: object) -> None:
            streams.append(game.client.connect("127.0.0.1", game.server_port))

        (server,) = game.server.streams.values()
        server.on_call = connect
        game.stream.call("come")
        while not (streams and streams[0].is_open):
            game.client.wait(1)
            game.server.wait(1)


def test_a_manager_knows_its_loop() -> None:
    mgr = SocketMgr(1)
    assert mgr.loop is mgr.loop
    mgr.shutdown()
    assert mgr.loop.is_closed()
