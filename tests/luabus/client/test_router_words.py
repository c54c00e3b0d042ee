"""What a router tells that makes no sense: that link ends with a `ProtocolError`, and nothing of it is believed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from luabus.client.announcements import Announcements
from luabus.client.news import News
from luabus.client.router_words import heard
from luabus.errors import BadArguments, ProtocolError
from luabus.limits import MAX_EPOCH
from luabus.protocol import codec
from luabus.protocol.session import CALL_ROUTE
from tests.support.word_fuzz import ATOMS, BIDI, LINE

NAMES = {"group": 3, "name": "director", "mode": "master", "master": 0x0003_0001, "epoch": 5}
WELCOME = {"router": "router.1", "incarnation": 7, "frame_limit": 1 << 20, "groups": [NAMES]}
SLOT = {"service_id": "3.1", "name": "director.1", "token": 4}
GROUP = {
    "group": 3, "name": "director", "mode": "master", "master": "3.1", "elected": True, "epoch": 5, "slots": [SLOT],
    "after": 0, "next": None,
}  # fmt: skip
GOOD: dict[str, list[Any]] = {
    "welcome": [WELCOME],
    "names": [NAMES],
    "group": ["router.1", GROUP],
    "draining": ["router.1"],
}


class Link:
    """A link and its stream at once."""

    def __init__(self) -> None:
        self.stream = self
        self.token = 1
        self.name = ""
        self.masters: dict[int, tuple[int, int]] = {}
        self.ended: list[Any] = []

    def welcomed(self, name: str, incarnation: int, frame_limit: int) -> None:
        self.name = name

    def end(self, error: Any, *, say: bool = False) -> None:
        self.ended.append(error)


class Client:
    """What routers tell it, over a link each."""

    def __init__(self, links: int = 1) -> None:
        self.tables: list[dict[str, Any]] = []
        self.draining: list[Any] = []
        self.links = [Link() for _ in range(links)]
        self.told = Announcements(
            News(), self.draining.append, lambda _, group: self.tables.append(group), lambda _: None
        )
        self.told.start(self.links)  # type: ignore[arg-type]

    def hear(self, word: str, *args: Any, link: int = 0) -> Any:
        """What a router says; the error with which that link ends."""
        before = len(self.links[link].ended)
        body = codec.pack_call(f"luabus.{word}", args)
        self.told.receiver.take(self.links[link], CALL_ROUTE, 0, 0, body, 0, len(body))  # type: ignore[arg-type]
        ended = self.links[link].ended[before:]
        return ended[0] if ended else None


async def test_what_makes_sense_is_believed() -> None:
    client = Client()
    for word, args in GOOD.items():
        assert client.hear(word, *args) is None
    assert client.links[0].name == "router.1"
    assert client.told.groups == {"director": 3}
    assert client.told.masters == {3: (0x0003_0001, 5)}
    assert client.tables == [{key: GROUP[key] for key in GROUP if key not in ("after", "next")}]
    assert client.draining == client.links


@pytest.mark.parametrize(
    ("word", "args"),
    [
        ("welcome", []),
        ("welcome", [None]),
        ("welcome", [{}]),
        ("welcome", [{**WELCOME, "router": LINE}]),
        ("welcome", [{**WELCOME, "frame_limit": "1"}]),
        ("welcome", [{**WELCOME, "frame_limit": 0}]),
        ("welcome", [{**WELCOME, "groups": [NAMES] * 300}]),
        ("welcome", [{**WELCOME, "groups": [{**NAMES, "epoch": 1 << 32}]}]),
        ("names", [{**NAMES, "group": "3"}]),
        ("names", [{**NAMES, "group": 0}]),
        ("names", [{**NAMES, "name": BIDI}]),
        ("names", [{**NAMES, "master": -1}]),
        ("names", [{**NAMES, "master": 0xFF00_0001}]),
        ("names", [{**NAMES, "epoch": True}]),
        ("names", [{**NAMES, "epoch": 1e300}]),
        ("group", [GROUP]),
        ("group", ["router.1", {**GROUP, "slots": [SLOT] * 1001}]),
        ("group", ["router.1", {**GROUP, "slots": [{**SLOT, "token": None}]}]),
        ("group", ["router.1", {**GROUP, "slots": [{**SLOT, "share": 1.5}]}]),
        ("group", ["router.1", {**GROUP, "slots": [{**SLOT, "share": None}]}]),
        ("group", ["router.1", {**GROUP, "next": 0}]),
        ("draining", [5]),
        ("draining", ["router.1", "now"]),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_makes_no_sense_ends_the_link(word: str, args: list[Any]) -> None:
    client = Client()
    error = client.hear(word, *args)
    assert type(error) is ProtocolError
    assert f"luabus.{word}" in str(error)
    assert str(error).isprintable()
    assert (client.told.groups, client.told.masters, client.tables) == ({}, {}, [])


@pytest.mark.parametrize("word", sorted(GOOD))
async def test_fuzzed_words_of_a_router(word: str) -> None:
    dice = random.Random(7)
    client = Client()
    ended = 0
    for _ in range(100_000):
        args = list(GOOD[word])
        spoilt = args[-1]
        if isinstance(spoilt, dict) and dice.random() < 0.8:
            field = dice.choice(list(spoilt))
            args[-1] = {**spoilt, field: dice.choice(ATOMS)}
        else:
            args = [dice.choice(ATOMS) for _ in range(dice.randrange(3))]
        error = client.hear(word, *args)
        assert error is None or type(error) is ProtocolError
        ended += error is not None
        client.links[0].ended.clear()
    assert 0 < ended < 100_000
    assert all(
        type(name) is str and name.isprintable() and 1 <= number <= 255
        for name, number in client.told.groups.items()
    )
    assert all(0 <= epoch <= MAX_EPOCH for epoch in client.told.epochs.values())
    assert len(client.told.groups) < 1000


async def test_a_poisoned_epoch_heals_when_the_routers_say_so() -> None:
    client = Client(2)
    client.hear("names", {**NAMES, "epoch": MAX_EPOCH})
    assert client.told.epochs == {3: MAX_EPOCH}
    client.hear("names", {**NAMES, "epoch": 6}, link=1)
    assert client.told.epochs == {3: MAX_EPOCH}  # one of them still believes it
    client.hear("names", {**NAMES, "epoch": 6, "master": 0})
    assert client.told.epochs == {3: 6}


async def test_a_router_that_knows_less_takes_nothing_back() -> None:
    client = Client()
    client.hear("names", {**NAMES, "epoch": 6})
    client.hear("welcome", {**WELCOME, "groups": [{**NAMES, "epoch": 0, "master": 0}]})
    client.hear("names", {**NAMES, "epoch": 5})
    assert client.told.epochs == {3: 6}


async def test_pages_of_a_group_are_put_together_and_parts_of_one_are_none() -> None:
    client = Client()
    first = {**GROUP, "next": 0x0003_0001}
    last = {**GROUP, "after": 0x0003_0001, "slots": [{**SLOT, "service_id": "3.2"}]}
    client.hear("group", "router.1", last)
    assert client.tables == []
    client.hear("group", "router.1", first)
    client.hear("group", "router.1", last)
    assert [[slot["service_id"] for slot in table["slots"]] for table in client.tables] == [["3.1", "3.2"]]


def test_a_word_that_is_not_declared_is_not_heard() -> None:
    with pytest.raises(KeyError):
        heard("luabus.forgotten", lambda: None)


def test_what_a_router_asks_is_answered_with_what_is_wrong() -> None:
    ask = heard("luabus.hand_over", lambda service_id, by="": (service_id, by))
    assert ask(0x0003_0001, "ann") == (0x0003_0001, "ann")
    with pytest.raises(BadArguments, match="service_id is a whole number"):
        ask(True)
