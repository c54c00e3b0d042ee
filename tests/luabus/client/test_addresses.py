"""The five ways to address a message, by number, by name and in words."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import pytest

from luabus.client.bus import Bus
from luabus.errors import BadArguments, NoRoute, Refused
from tests.support.bus import Star
from tests.support.hostile import Hostile, HostileNumber, HostileText

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


# --- what is no address ---------------------------------------------------------------------------------------

NO_ADDRESSES = [[], {}, None, True, b"mail", 2.0, ("mail",), Hostile()]


@pytest.mark.parametrize("value", NO_ADDRESSES, ids=lambda value: type(value).__name__)
def test_what_is_neither_text_nor_number_is_refused(value: object) -> None:
    bus = Bus()
    bus.groups["mail"] = 2
    for make in (bus.target, bus.random, bus.broadcast, bus.master, lambda group: bus.hash(group, 1)):
        with pytest.raises(NoRoute):
            make(value)  # type: ignore[operator]
    with pytest.raises(Refused, match="is not a route"):
        bus.route(value)  # type: ignore[arg-type]
    if type(value) is not bytes:
        with pytest.raises(BadArguments):
            bus.hash("mail", value)  # type: ignore[arg-type]


def test_a_text_or_number_of_another_class_is_the_one_it_holds() -> None:
    class Name(StrEnum):
        MAIL = "mail"

    class Number(IntEnum):
        MAIL = 2

    bus = Bus()
    bus.groups["mail"] = 2
    assert repr(bus.random(Name.MAIL)) == "<Route random:mail>"
    assert repr(bus.hash(Number.MAIL, Name.MAIL)) == "<Route hash:2:mail>"
    assert "whose text cannot be had" in repr(bus.hash(2, HostileText("a")))
    for route in (
        bus.random(HostileText("mail")), bus.master(HostileNumber(2)), bus.target(HostileNumber(0x0002_0001)),
        bus.hash(2, HostileNumber(1)), bus.route(HostileText("hash:mail:1")),
    ):  # fmt: skip
        assert repr(route).startswith("<Route ")
    with pytest.raises(NoRoute, match="there is no group named 'mial'"):
        bus.random(HostileText("mial"))
