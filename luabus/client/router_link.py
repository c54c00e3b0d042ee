"""A bus' connection to one router: connect, greet, join, keep alive, connect again."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from luabus.client.one_link import Holders, RouterIdentity
from luabus.errors import (
    AuthError,
    BadArguments,
    LuabusError,
    NotConnected,
    ProtocolError,
    RequestTimeout,
    RouterLost,
)
from luabus.host_addresses import format_address
from luabus.ids import MAX_GROUP
from luabus.limits import HEARTBEAT_S, HEARTBEATS_MISSED
from luabus.logs import Log
from luabus.protocol.codec import unpack_value
from luabus.rpc.shapes import MAX_U32, MapOf, Whole
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import Receiver, Stream, Subscribers

log = Log("luabus.link")

_CONNECT_TIMEOUT_MS = 3000
_DIGESTS = MapOf(Whole(0, MAX_GROUP), Whole(0, MAX_U32), MAX_GROUP + 1)
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MOST_S = 1.0
FRESH_HEARTBEATS = 1.5
"""PONGs come with each heartbeat; half a heartbeat is for the way and for a busy machine."""


class RouterLink:
    """One router's address, and the stream to it while there is one.

    `receiver` takes the calls that are routed here, `control_receiver` the router's own. `greet(link)` is awaited when the stream
    is open, and may join; then `up(link)`, and `down(link)` when it is gone; `news()` after each try and each PONG;
    `heartbeat_body(link)` makes what a PING carries; `was_blocked()` tells whether it is this process that was not there.
    Connecting again waits 50 ms, doubling to 1 s, +-25 %. `holders` knows which link has which router: one whose router another
    has reached already stands by until that one is lost.
    """

    def __init__(
        self,
        mgr: SocketMgr,
        host: str,
        port: int,
        *,
        receiver: Receiver,
        control_receiver: Receiver,
        greet: Callable[[RouterLink], Awaitable[None]],
        up: Callable[[RouterLink], None],
        down: Callable[[RouterLink], None],
        news: Callable[[], None],
        heartbeat_body: Callable[[RouterLink], bytes],
        was_blocked: Callable[[], bool],
        heartbeat_s: float = HEARTBEAT_S,
        holders: Holders | None = None,
    ) -> None:
        self.address = format_address(host, port)
        self.host = host
        self.port = port
        self.name = self.address
        self.stream: Stream | None = None
        self.ready = False
        self.joined = False
        self.draining = False
        self.token_there = 0
        self.masters: dict[int, tuple[int, int]] = {}
        """What the router says of each group now: its master (0: none) and its epoch."""
        self.digests: dict[int, int] = {}
        self._digests_at = float("-inf")
        self.identity: RouterIdentity = ("", 0)
        """The router's name and incarnation, while this link is or was up."""
        self.up_since = float("inf")
        self.stands_by_for: RouterLink | None = None
        """The link that has reached the same router."""
        self.last_error: LuabusError | None = None
        self._welcome = asyncio.Event()
        self._mgr = mgr
        self._holders = holders or Holders()
        self._greet, self._up, self._down, self._news = greet, up, down, news
        self._was_blocked = was_blocked
        self._heartbeat_s = heartbeat_s
        self._subscribers = Subscribers(
            receiver=receiver, control_receiver=control_receiver, closed=self._stream_closed, pong=self._heard,
            ping_body=lambda: heartbeat_body(self), lost_error=RouterLost,
        )  # fmt: skip

    @property
    def connected(self) -> bool:
        """Open, greeted, and usable."""
        return self.ready

    @property
    def fresh(self) -> bool:
        """Whether `digests` are what the router says now: a stopped one is not lost before three heartbeats, and what it said
        last is no sign that it disagrees."""
        return self.ready and time.monotonic() - self._digests_at < FRESH_HEARTBEATS * self._heartbeat_s

    def was_alive_at(self, moment: float) -> bool:
        """Whether the router has been heard since, and is no longer silent than it may be."""
        return self.fresh and self._digests_at > moment

    def __repr__(self) -> str:
        return f"<Link {self.name} {'up' if self.ready else 'down'}>"

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        wait_s = _BACKOFF_FIRST_S
        while True:
            if await self._once():
                wait_s = _BACKOFF_FIRST_S
            self._news()
            if self.stands_by_for is not None:
                await self._holders.released(self.stands_by_for)
                self.stands_by_for, wait_s = None, _BACKOFF_FIRST_S
            await asyncio.sleep(wait_s * random.uniform(0.75, 1.25))
            wait_s = min(wait_s * 2, _BACKOFF_MOST_S)

    async def _once(self) -> bool:
        """One connection from beginning to end; True when it was up."""
        was_up = False
        stream: Stream | None = None
        try:
            self._welcome.clear()
            stream = self.stream = self._mgr.connect(
                self.host, self.port, _CONNECT_TIMEOUT_MS, name=self.name, subscribers=self._subscribers
            )
            await stream.connected()
            async with asyncio.timeout(_CONNECT_TIMEOUT_MS / 1000):
                await self._welcome.wait()
                self.stands_by_for = cast("RouterLink | None", self._holders.hold(self))
                if self.stands_by_for is not None:
                    return False
                stream.start_heartbeat(self._heartbeat_s, HEARTBEATS_MISSED)
                await stream.clock_known()
                await self._greet(self)
            if not stream.is_open:
                raise NotConnected(f"{self.name} went away during the greeting")
            self.ready = was_up = True
            self.up_since = time.monotonic()
            self.last_error = None
            log.info("connected to %s at %s", self.name, self.address)
            self._up(self)
            await stream.closed()
        except (LuabusError, TimeoutError) as error:
            self._failed(error)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._failed(
                ProtocolError(f"{self.name} answers what makes no sense: {type(error).__name__}: {error}")
            )
        finally:
            if stream is not None:
                stream.close()
            self._holders.release(self)
        return was_up

    def welcomed(self, name: str, incarnation: int, frame_limit: int) -> None:
        """The router says who it is, and how long a frame it takes."""
        self.name, self.identity = name, (name, incarnation)
        if self.stream is not None:
            self.stream.rename(name)
            self.stream.peer_takes(frame_limit)
        self._welcome.set()

    def has_joined(self, token: int) -> None:
        """The router has registered us; `token` is our connection's there."""
        self.token_there = token
        self.joined = True

    def drains(self) -> None:
        """The router says that it stops."""
        self.draining = True

    def _heard(self, stream: Stream, body: bytes) -> None:
        digests = unpack_value(body) if body else {}
        try:
            _DIGESTS.check(digests, "the body")
        except BadArguments as error:
            raise ProtocolError(f"a PONG whose body is not {{group: digest}}: {error}") from None
        self.digests, self._digests_at = digests, time.monotonic()
        self._news()

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, LuabusError):
            error = RequestTimeout(f"{self.address} accepted the connection and did not greet")
        if isinstance(error, AuthError) and not isinstance(self.last_error, AuthError):
            log.error("%s: %s", self.address, error)
        self.last_error = error

    def _stream_closed(self, stream: Stream, error: LuabusError | None) -> None:
        """Down at once: nothing more must be given to this stream while its task waits to be told."""
        was_ready, expected = self.ready, self.draining
        self.ready = self.joined = self.draining = False
        self.masters.clear()
        self._holders.release(self)
        if error is not None and was_ready:  # else `_failed` sees to it
            self.last_error = error
        if was_ready:
            if error is not None and self._was_blocked():
                log.info("%s has given us up while the event loop was blocked: %s", self.name, error)
            elif error is not None:
                log.log(logging.INFO if expected else logging.WARNING, "%s is lost: %s", self.name, error)
            self._down(self)

    def snapshot(self) -> dict[str, Any]:
        """For status pages."""
        return {
            "router": self.name,
            "address": self.address,
            "connected": self.ready,
            "joined": self.joined,
            "draining": self.draining,
            "rtt_ms": self.stream.clock.rtt_s * 1000 if self.stream is not None else None,
            "error": str(self.last_error) if self.last_error is not None and not self.ready else None,
        }
