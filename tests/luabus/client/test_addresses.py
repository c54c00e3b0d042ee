"""The five ways to address a message, by number, by name and in words."""

from __future__ import annotations

import pytest

from luabus.errors import (
    NoRoute,
    Refused,
)
from tests.support.bus import Star

# --- who answers ----------------------------------------------------------------------------------------------


async def test_a_name_nobody_has_is_said_with_the_closest_one() -> None:
    async with Star() as star:
        bus = await star.client()
        for make in (lambda: bus.target("mial.1"), lambda: bus.hash("mial", 1), lambda: bus.master("mial")):
            with pytest.raises(NoRoute, match="there is no group named 'mial'; did you mean 'mail'"):
                make()


async def test_routes_in_words() -> None:
    async with Star() as star:
        await star.mail()
        bus = await star.client()
        await bus.router("router.1").request("luabus.register", "2.2", "own", True)
        for words, who in (
            ("target:mail.3", "mail.3"), ("hash:mail:2", "mail.3"), ("hash:mail:alice", "mail.3"), ("master:mail", "mail.2"),
        ):  # fmt: skip
            assert await bus.route(words).request("who") == who
            assert repr(bus.route(words)) == f"<Route {words}>"
        for words, key in (("hash:mail:--5", "--5"), ('hash:mail:"5"', "5"), ("hash:mail:-5", -5)):
            assert await bus.route(words).request("who") == await bus.hash("mail", key).request("who")
            assert repr(bus.route(words)) == f"<Route {words}>"
        for words in ("", "mail", "hsah:mail:x", "hash:mail", "hash:mail:", "random:", "target"):
            with pytest.raises(Refused, match=r"is not a route|a hash needs a key"):
                bus.route(words)
        with pytest.raises(Refused, match=r"did you mean hash:\.\.\.\?"):
            bus.route("hsah:mail:x")
