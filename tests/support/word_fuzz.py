"""Words with arguments that nobody should send, at a router without sockets: good ones, and ways to spoil them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

from luabus.errors import LuabusError
from luabus.protocol import codec
from luabus.protocol.principal import ADMIN
from luabus.protocol.session import REQUEST_ROUTE
from luabus.router.server import Router
from luabus.transport.security import NO_SECURITY
from luabus.transport.stream import Stream

BIDI, ESCAPE, LINE = "a\u202eb", "a\x1b[2Jb", "a\nERROR b"

ATOMS: list[Any] = [
    None, True, False, 0, 1, 2, 3, 7, -1, 255, 256, 65_536, 0xFF_FFFF, 1 << 24, 0x0002_0001, 0x0002_0000, 0x0000_0001,
    0x0100_0001, 0x7FFF_FFFF, 0x8000_0000, 0xFF00_0001, 0xFFFF_FFFF, 1 << 32, 1 << 33, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
    -(1 << 63), 0.0, 1.0, -1.5, 1e300, float("inf"), float("nan"), "", "mail", "mail.1", "2.1", "2.2", "9.9", "0.1", "own",
    "none", "hash", "master", "banana", "x" * 100, "x" * 101, "\U0001f600" * 100, "x" * 5000, BIDI, ESCAPE, LINE, "\x9b31m",
    "\0", "\ud7ff", " ", "ß" * 50, b"", b"\0" * 4, b"mail", b"x" * 5000, [], [1], [[]], [None] * 300, {}, {1: 1}, {"1": 1},
    {3: 7}, {3: True}, {3: 0xFFFF_FFFF}, {3: 1 << 32}, {3: -1}, {3: 1e300}, {3: None}, {0: 1}, {255: 1}, {256: 1}, {10**9: 1},
    {b"x": 1}, {None: 1}, {True: 2}, {1.5: 2}, {n: n for n in range(300)}, {"zz": 7}, {"code": "text", "values": {}},
    {"code": "text", "values": {"text": LINE}}, {"code": "", "values": {}}, {"code": 1, "values": {}},
    {"code": "x" * 200, "values": {}},
    {"code": "alarm.of-service", "values": {"service": {"code": "alarm.of-service", "values": {}}}},
    {"code": "alarm.of-service", "values": {"service": [[[[[[1]]]]]]}}, {"code": "a", "values": {"a": "x" * 5000}},
    {"code": "a", "values": {str(n): 1 for n in range(100)}}, {"code": "a", "values": {"a": ["x" * 400] * 60}},
]  # fmt: skip

GOOD: dict[str, list[list[Any]]] = {
    "join": [
        ["2.1", "mail", 1, "hash", {}], [0x0003_0001, "director", 2, "master", {3: 2, 2: 1}], ["9.9", "other", 1],
        ["2.2", "mail", 1, "hash", {}, 0, True],
    ],
    "leave": [[]],
    "stand": [[]],
    "master": [[1], [5]],
    "resign": [[1], [5]],
    "report": [[""], ["the disk is full"], [{"code": "text", "values": {"text": "full"}}]],
    "prefer": [[True], [False]],
    "flush": [[]],
    "room": [[0x0002_0012, 7], [0x0002_0001_0000_0011, 0]],
    "watch": [[]],
    "register": [["mail.1", 0], ["mail.1", None], ["mail.2", "own"], ["3.1", 1, True], [0x0002_0003, 0, False]],
    "close": [[2]],
    "routes": [[], [0], [0x0002_0001, 10]],
    "connections": [[], [0], [1, 10]],
    "stats": [[]],
    "debugged": [[]],
    "forbade": [["client", "purge", 3], ["gateway", "read", 1]],
    "configure": [[{"groups": {"mail": [2, 3, "hash"]}, "access": {}}], [{}]],
    "promote": [["mail.2"], [0x0002_0002, "admin"]],
    "ask": [["mail.2", "ping"], [0x0002_0002, "lease", 1.0]],
}  # fmt: skip
"""Of each word arguments that are right."""


def spoilt(word: str, dice: random.Random) -> list[Any]:
    """Arguments for `word`: right ones, spoilt at one place or two, too few, too many, or none of it."""
    args = list(dice.choice(GOOD[word]))
    way = dice.random()
    if way < 0.1:
        args = [dice.choice(ATOMS) for _ in range(dice.randrange(8))]
    elif way < 0.2:
        args.insert(dice.randrange(len(args) + 1), dice.choice(ATOMS))
    elif way < 0.25:
        args = args[: dice.randrange(len(args) + 1)]
    elif args and way < 0.95:
        for _ in range(dice.randrange(1, 3)):
            place = dice.randrange(len(args))
            args[place] = _odd(args[place], dice)
    return args


def _odd(value: Any, dice: random.Random) -> Any:
    way = dice.random()
    if way < 0.2:
        return dice.getrandbits(dice.choice((4, 8, 17, 25, 32, 33, 63)))
    if way < 0.3:
        return [value]
    if way < 0.4:
        return {dice.choice([1, 2, 3, "a", None]): value}
    if way < 0.5 and isinstance(value, str):
        return value + chr(
            dice.choice([0, 7, 10, 27, 127, 155, 0x202E, 0x2028, 0x200B, 0xE000, dice.randrange(0xD7FF)])
        )
    return dice.choice(ATOMS)


class Lane(Stream):
    """A connection of a router that leads nowhere: what is written is gone, answers are kept."""

    answers_kept: list[Any]

    def reply(self, route: int, sequence: int, body: bytes) -> None:
        self.answers_kept.append(codec.unpack_value(body))

    def reply_error(self, source: int, sequence: int, error: LuabusError) -> None:
        self.answers_kept.append(error)

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        super().ended(error, text, was_open=was_open)
        self._mgr.streams.pop(self.token, None)  # as a connection does that is gone

    async def request(self, msg: str, *args: Any, timeout: float | None = None) -> Any:
        """What the router asks it, it answers at once."""
        return None

    def ping(self) -> int:
        """Answered in this moment."""
        stamp = super().ping()
        self._pong_stamp = stamp
        return stamp

    @classmethod
    def of(cls, router: Router) -> Lane:
        mgr = router.mgr
        handshake = NO_SECURITY.acceptor()
        token = mgr.new_stream(handshake).token
        lane = cls(
            mgr, token, handshake, options=mgr._options, subscribers=mgr._subscribers, made=lambda _: None
        )
        lane.answers_kept = []
        lane.principal = ADMIN  # it may do all, so that all is tried
        lane._handshake = None
        lane._opened = True
        mgr.streams[lane.token] = lane
        mgr.switch.attach(lane)
        router._opened(lane)
        return lane

    def say(self, word: str, args: list[Any]) -> Any:
        """The answer, at once: the value or the error; None and kept for later where the router waits."""
        body = codec.pack_call(f"luabus.{word}", args)
        self.answers_kept.clear()
        meta = bytes(16)
        self.deliver(REQUEST_ROUTE, 0, self.id, 1, meta + body, 0, len(meta) + len(body))
        self.flush()
        return self.answers_kept[0] if self.answers_kept else None


async def in_callback(work: Callable[[], None]) -> None:
    """Run `work` as what comes off a socket is: in no task. Raises what it raises."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    loop.call_soon(run)
    await done


def words(word: str, count: int, seed: int) -> Iterator[list[Any]]:
    """So many fuzzed arguments; the same for the same seed."""
    dice = random.Random(seed)
    for _ in range(count):
        yield spoilt(word, dice)
