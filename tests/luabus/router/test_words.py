"""Every word of a router with arguments that nobody should send. `make soak` sends ten times as many."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import resource
from typing import Any

import pytest

from luabus.errors import (
    BadArguments,
    IdInUse,
    LuabusError,
    NoMaster,
    NoRoute,
    Overloaded,
    Refused,
    StaleEpoch,
)
from luabus.limits import MAX_EPOCH
from luabus.protocol import codec
from luabus.router.server import Router
from luabus.router.words import WORDS, word
from tests.support.bus import SECRET, Star, document
from tests.support.raw import RawPeer
from tests.support.word_fuzz import BIDI, ESCAPE, GOOD, LINE, Lane, in_callback, words

CLUSTER = document({"mail": (2, 3), "director": (3,)})
BATCH = 500
REFUSALS = (BadArguments, Refused, IdInUse, StaleEpoch, NoRoute, NoMaster, Overloaded)
GROWTH_BYTES = 24 << 20
"""The tables of 255 groups with some hundred entries, and what the allocator keeps."""


def test_every_word_that_a_router_understands_is_declared() -> None:
    methods = Router().api.methods
    assert {name.removeprefix("luabus.") for name in methods} == set(WORDS) == set(GOOD)
    for name, shapes in WORDS.items():
        assert len(inspect.signature(methods[f"luabus.{name}"].fn).parameters) == len(shapes)


def test_a_word_that_is_not_declared_cannot_be_one() -> None:
    def forgotten(self: object) -> None: ...

    with pytest.raises(KeyError):
        word(forgotten)


def rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def state(router: Router) -> tuple[Any, ...]:
    """What words change, as far as everybody is told."""
    table = router.mgr.switch.table
    return table.version, len(table.groups), len(router._registry.names), len(router._preferring)


class Fuzz:
    """`name`'s words at a router, from a connection that has joined, beside a neighbour that has as well."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.router = Router("router.1", cluster=CLUSTER)
        self.neighbour = Lane.of(self.router)
        self.neighbour.say("join", ["2.2", "mail", 1])
        self.neighbour.say("master", [1])
        self.lane = self.member()
        self.taken = self.refused = 0

    def member(self) -> Lane:
        lane = Lane.of(self.router)
        if self.name != "join":
            lane.say("join", ["2.1", "mail", 1])
        return lane

    def batch(self, arguments: list[list[Any]]) -> None:
        for args in arguments:
            if self.lane.is_closed or (self.name == "join" and self.lane.id < 0xFF00_0000):
                self.lane.end(None)
                self.lane = self.member()
            before = state(self.router)
            answer = self.lane.say(self.name, args)
            if isinstance(answer, LuabusError):
                self.refused += 1
                assert type(answer) in REFUSALS, (args, answer)
                assert str(answer).isprintable(), (args, answer)
                assert len(str(answer)) < 1000, (args, answer)
                assert state(self.router) == before, (args, answer)
            else:
                self.taken += 1
        self.look()

    def look(self) -> None:
        """The router serves others, and what it tells of itself can be sent and read."""
        if self.neighbour.is_closed:  # closed by its token
            self.neighbour = Lane.of(self.router)
        limit = self.router.frame_limit
        after: int | None = 0
        while after is not None:
            page = self.neighbour.say("routes", [after])
            assert len(codec.pack_value(page)) < limit
            for group in page["groups"]:
                assert 1 <= group["group"] <= 255
                assert group["name"].isprintable()
                assert 0 <= group["epoch"] <= MAX_EPOCH
            after = page["next"]
        rows = self.neighbour.say("connections", [])
        assert len(codec.pack_value(rows)) < limit
        assert all(row["name"].isprintable() and type(row["preferred"]) is bool for row in rows)
        stats = self.neighbour.say("stats", [])
        assert len(codec.pack_value(stats)) < limit
        assert all(alarm["text"].isprintable() for alarm in stats["alarms"])


async def fuzz(name: str, count: int, seed: int) -> None:
    run = Fuzz(name)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        at_first = 0
        arguments = words(name, count, seed)
        for number in range(count // BATCH):
            part = [next(arguments) for _ in range(BATCH)]
            await in_callback(lambda part=part: run.batch(part))
            await asyncio.sleep(0)
            if number == count // BATCH // 2:  # by then its tables are as large as they get
                gc.collect()
                at_first = rss()
        assert run.refused > 0
        assert run.taken > 0
        assert rss() - at_first < GROWTH_BYTES
        assert len(run.router.mgr.streams) < 10
    finally:
        logging.disable(disabled)
        await run.router.stop(0.0)


@pytest.mark.parametrize("name", sorted(GOOD))
async def test_fuzzed_words_are_refused_and_change_nothing(name: str) -> None:
    await fuzz(name, 100_000, 12)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(GOOD))
async def test_fuzzed_words_at_length(name: str) -> None:
    await fuzz(name, 1_000_000, 13)


BAD = [
    ("join", ["2.1", "mail", 1, "", {3: True}], r"epochs[3]"),
    ("join", ["2.1", "mail", 1, "", {"3": 1}], r"epochs key '3'"),
    ("join", ["2.1", "mail", 1, "", {3: 1 << 32}], r"epochs[3]"),
    ("join", ["2.1", "mail", 1, "", {3: 1e300}], r"epochs[3]"),
    ("join", ["2.1", "mail", 1, "", {200: 7}], r"epochs[200]"),
    ("join", ["2.1", "mail", 1, "", {0: 7}], r"epochs key 0"),
    ("join", ["2.1", "mail", 1, "", {10**9: 1}], r"epochs key 1000000000"),
    ("join", ["2.1", "mail", 1, "", [3]], "epochs"),
    ("join", ["2.1", LINE, 1], "name"),
    ("join", ["2.1", BIDI, 1], "name"),
    ("join", ["2.1", ESCAPE, 1], "name"),
    ("join", ["2.1", "x" * 101, 1], "name"),
    ("join", ["2.1", b"mail", 1], "name"),
    ("join", [True, "mail", 1], "service_id"),
    ("join", [2.1, "mail", 1], "service_id"),
    ("join", ["2.1", "mail", True], "incarnation"),
    ("join", ["2.1", "mail", -1], "incarnation"),
    ("join", ["2.1", "mail", 1, None], "mode"),
    ("join", ["2.1", "mail", 1, "banana"], "mode"),
    ("master", [True], "epoch"),
    ("master", [1 << 32], "epoch"),
    ("master", ["5"], "epoch"),
    ("resign", [None], "epoch"),
    ("report", [5], "problem"),
    ("report", [{"code": 5, "values": {}}], "problem['code']"),
    ("report", [{"code": "x", "values": {"a": [[[[[1]]]]]}}], "problem['values']['a']"),
    ("report", [{"code": "x", "values": {"a": b"x"}}], "problem['values']['a']"),
    ("prefer", ["x" * 900_000], "preferred"),
    ("prefer", [1], "preferred"),
    ("room", [16, 0], "route"),
    ("room", [0x0100_0012, 0], "route"),
    ("room", [18, -1], "key"),
    ("room", [18, "alice"], "key"),
    ("register", ["2.9", True], "token"),
    ("register", ["2.9", 1.0], "token"),
    ("register", ["2.9", 0, 1], "is_master"),
    ("close", [True], "token"),
    ("close", ["1"], "token"),
    ("routes", [-1], "after"),
    ("routes", [0, 0], "limit"),
    ("connections", [None], "after"),
    ("connections", [0, 1.5], "limit"),
]


@pytest.mark.parametrize(("name", "args", "path"), BAD, ids=lambda value: str(value)[:40])
async def test_a_bad_argument_is_named_and_changes_nothing(name: str, args: list[Any], path: str) -> None:
    async with Star() as star, await RawPeer.open(star.routers[0].port, SECRET) as peer:
        router = star.routers[0]
        before = state(router)
        refused = await peer.request(f"luabus.{name}", *args)
        assert type(refused) is BadArguments
        assert (refused.path, refused.method) == (path, f"luabus.{name}")
        assert str(refused).startswith(f"{path}")
        assert str(refused).isprintable()
        assert len(str(refused)) < 300
        assert state(router) == before
        rows = await peer.request("luabus.connections")
        assert [row["preferred"] for row in rows] == [False]


async def test_a_connection_is_one_service() -> None:
    async with Star() as star, await RawPeer.open(star.routers[0].port, SECRET) as peer:
        table = star.routers[0].mgr.switch.table
        for instance in range(1, 300):
            await peer.request("luabus.join", f"4.{instance}", "robot", 1)
        assert list(table.group(4).entries) == [0x0004_0000 | 299]
        await peer.request("luabus.join", "2.1", "mail", 1)
        assert list(table.group(4).entries) == []
        assert len(table.group(2).entries) == 3  # three of mail are expected


async def test_a_problem_is_cleaned_and_cut_and_stats_fit_whatever_peers_say() -> None:
    async with Star() as star:
        peers = [await RawPeer.open(star.routers[0].port, SECRET) for _ in range(12)]
        for peer in peers:
            assert (
                await peer.request("luabus.report", {"code": "x", "values": {"a": ["x" * 3900] * 60}}) is None
            )
        assert await peers[0].request("luabus.report", ESCAPE + LINE) is None
        stats = await peers[1].request("luabus.stats")
        assert all(alarm["text"].isprintable() and len(alarm["text"]) < 700 for alarm in stats["alarms"])
        assert len(codec.pack_value(stats)) < 20_000
        for peer in peers:
            peer.call("luabus.prefer", True)
            await peer.close()
