"""A process' way onto the bus: links to all routers, one of them preferred, and the five routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from luabus.client.failover import Failover
from luabus.client.flow_control import FlowControl
from luabus.client.router_link import RouterLink
from luabus.client.routes import SENT, Route, SendResult
from luabus.environment import parse_address
from luabus.errors import (
    AuthError,
    ConfigError,
    FrameTooLarge,
    IdInUse,
    LuabusError,
    NoRoute,
    NotConnected,
    Refused,
    RequestTimeout,
    StaleEpoch,
)
from luabus.ids import ServiceId, parse_group
from luabus.limits import (
    DEFAULT_BUS_BUFFER,
    DEFAULT_FRAME_LIMIT,
    HEARTBEAT_S,
    REQUEST_TIMEOUT_S,
)
from luabus.messages import Message
from luabus.protocol import codec
from luabus.protocol.compression import NEVER
from luabus.protocol.frames import HEADER_SIZE, META_SIZE, Kind
from luabus.protocol.hashing import hash_key, key_of
from luabus.routing.consistency import differences
from luabus.rpc.context import current
from luabus.rpc.dispatcher import Dispatcher
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import Stream

log = logging.getLogger("luabus.bus")

_TELL_TIMEOUT_S = HEARTBEAT_S / 2
"""For what is said again with the next heartbeat."""


class Identity:
    """Who joins: id, group name, incarnation; `slots` None leaves the group's slots as the routers know them."""

    def __init__(
        self, service_id: ServiceId, name: str, incarnation: int, slots: int | None, mode: str
    ) -> None:
        self.service_id = service_id
        self.name = name
        self.incarnation = incarnation
        self.slots = slots
        self.mode = mode


class RouterPeer:
    """One router as somebody to talk to: its own RPC methods, not what it routes."""

    def __init__(self, link: RouterLink) -> None:
        self._link = link
        self.name = link.name

    async def request(self, msg: str, *args: Any, timeout: float | None = REQUEST_TIMEOUT_S) -> Any:
        """Call a `luabus.*` method of this router. Raises `NotConnected` when it is not reachable."""
        if not self._link.ready or self._link.stream is None:
            raise NotConnected(f"{self._link.name} is not connected", routers=[self._link.address])
        return await self._link.stream.request(msg, *args, timeout=timeout)


class Bus:
    """The bus, seen from one process. Use `luabus.connect(...)`, or a service's `bus`.

    `groups` maps names to numbers; the routers tell more. `on_group(router, group)` is called with changed tables after
    `watch()`; `on_router(router, connected)` when a router comes or goes.
    """

    def __init__(self, handlers: Dispatcher | None = None) -> None:
        self.groups: dict[str, int] = {}
        self.masters: dict[int, tuple[int, int]] = {}
        self.epochs: dict[int, int] = {}
        self.epoch: Callable[[], int] | None = None
        self.on_group: Callable[[str, dict[str, Any]], Any] | None = None
        self.on_router: Callable[[str, bool], Any] | None = None
        self.on_names: Callable[[dict[str, Any]], Any] | None = None
        self.on_refused: Callable[[LuabusError], None] | None = None
        self.identity: Identity | None = None
        self._links: list[RouterLink] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._mgr: SocketMgr | None = None
        self.pace = FlowControl()
        self.words = 0
        self._preference = Failover(self._notify)
        self._changed = asyncio.Event()
        self._watching = False
        self._frame_limit = DEFAULT_FRAME_LIMIT
        self._compress_above = NEVER
        self._buffer = DEFAULT_BUS_BUFFER
        self._closing = False
        words = Dispatcher("this bus")
        for name in ("welcome", "names", "group", "draining"):
            words.rpc(getattr(self, f"_on_{name}"), name=f"luabus.{name}")
        self._words = words
        self._handlers = handlers or Dispatcher("this client")

    # --- life -------------------------------------------------------------------------------------------------

    async def start(
        self,
        routers: Iterable[str],
        *,
        groups: Mapping[str, int] | None = None,
        secret: bytes | str | None = None,
        identity: Identity | None = None,
        frame_limit: int = DEFAULT_FRAME_LIMIT,
        buffer: int = DEFAULT_BUS_BUFFER,
        compress_above: int | None = None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """Begin to connect to all routers; returns at once.

        `frame_limit`, `buffer` and `compress_above` (None = never) in bytes.
        """
        addresses = [parse_address(router) for router in routers]
        if not addresses:
            raise ConfigError("no router is given; name at least one, such as 127.0.0.1:7070", key="routers")
        self.groups.update(groups or {})
        self.identity = identity
        self._frame_limit = frame_limit
        self._compress_above = NEVER if compress_above is None else compress_above
        self._buffer = max(buffer, frame_limit + 64)
        self._closing = False
        self._mgr = SocketMgr(2 * len(addresses), secret=secret)  # an old stream may still be closing
        self._links = [
            RouterLink(
                self._mgr, host, port, prepare=self._prepare, greet=self._greet, up=self._up, down=self._down,
                news=self._link_news, heartbeat_s=heartbeat_s,
            )
            for host, port in addresses
        ]  # fmt: skip
        self._preference.start(self._links, self._buffer)
        self._tasks = [
            asyncio.create_task(link.run(), name=f"luabus link {link.address}") for link in self._links
        ]

    async def ready(self, timeout: float | None = 5.0) -> None:
        """Wait for the first router. Raises `NotConnected` with each router's reason, after `timeout` seconds or
        as soon as every one has refused our secret."""
        try:
            async with asyncio.timeout(timeout):
                while not any(link.ready for link in self._links):
                    await self._next_change()
                    refused = [
                        link.last_error for link in self._links if isinstance(link.last_error, AuthError)
                    ]
                    if refused and len(refused) == len(self._links) and refused[0] is not None:
                        raise refused[0]
        except TimeoutError:
            raise self._preference.not_connected() from None

    async def close(self) -> None:
        """Close all links."""
        self._closing = True
        await self._preference.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._mgr is not None:
            await self._mgr.close()
        await self._words.close()

    @property
    def mgr(self) -> SocketMgr:
        """The manager of the links' streams. Raises `NotConnected` before `start`."""
        if self._mgr is None:
            raise NotConnected("this bus has not been started")
        return self._mgr

    @property
    def routers(self) -> list[RouterLink]:
        """Every router's link, with `name`, `address` and `connected`."""
        return list(self._links)

    @property
    def preferred(self) -> Stream | None:
        """The stream to the router that this process forwards through now; None while there is none."""
        return self._preference.stream

    @property
    def preferred_router(self) -> str:
        """The name of that router; "" while there is none."""
        return self._preference.link.name if self._preference.link is not None else ""

    @property
    def names(self) -> dict[int, str]:
        """Group numbers to names."""
        return {number: name for name, number in self.groups.items()}

    def router(self, name: str) -> RouterPeer:
        """The router called `name`, for its own RPC methods. Raises `NoRoute` for an unknown one."""
        for link in self._links:
            if name in (link.name, link.address):
                return RouterPeer(link)
        raise NoRoute(
            f"there is no router {name!r}; there are: {', '.join(link.name for link in self._links)}",
            route=name,
        )

    # --- routes -----------------------------------------------------------------------------------------------

    def target(self, service_id: int | str) -> Route:
        """One instance: `"mail.2"`, `"2.2"` or a `ServiceId`. Raises `NoRoute` for a name that nobody has."""
        try:
            target = ServiceId.parse(service_id, self.groups)
        except Refused as error:
            raise NoRoute(str(error), route=f"target:{service_id}") from None
        return Route(self, Kind.TARGET, f"target:{service_id}", destination=target)

    def hash(self, group: str | int, key: int | str | bytes) -> Route:
        """The instance whose slot the key's hash names; when that slot is vacant, the next live one."""
        return Route(self, Kind.HASH, f"hash:{group}:{key!s}", self._group(group, "hash"), key=hash_key(key))

    def random(self, group: str | int) -> Route:
        """Any live instance, each with the same chance."""
        return Route(self, Kind.RANDOM, f"random:{group}", self._group(group, "random"))

    def broadcast(self, group: str | int) -> Route:
        """Every live instance of the group, this process left out."""
        return Route(self, Kind.BROADCAST, f"broadcast:{group}", self._group(group, "broadcast"))

    def master(self, group: str | int) -> Route:
        """The group's master."""
        return Route(self, Kind.MASTER, f"master:{group}", self._group(group, "master"))

    def route(self, text: str) -> Route:
        """A route in words: `target:mail.2`, `hash:mail:alice`, `random:mail`, `broadcast:gateway`, `master:director`.

        A hash key that is a whole number is taken as one, unless it is in quotes: `hash:mail:"5"`. Raises `Refused` for words
        that are no route.
        """
        kind, _, rest = text.partition(":")
        if kind == "hash" and rest:
            group, colon, key = rest.partition(":")
            if not colon or not key:
                raise Refused(
                    f"{text!r}: a hash needs a key: hash:GROUP:KEY, such as hash:mail:alice;"
                    ' hash:mail:5 is the number, hash:mail:"5" the text'
                )
            route = self.hash(group, key_of(key))
            route.text = text  # with the quotes, which are no part of the key
            return route
        makers = {
            "target": self.target,
            "random": self.random,
            "broadcast": self.broadcast,
            "master": self.master,
        }
        if kind in makers and rest:
            return makers[kind](rest)
        from difflib import get_close_matches  # slow to import, and only for errors

        close = get_close_matches(kind, [*makers, "hash"], n=1)
        hint = f"; did you mean {close[0]}:...?" if close and kind not in makers else ""
        raise Refused(
            f"{text!r} is not a route{hint}. Write target:mail.2, hash:mail:alice, random:mail,"
            " broadcast:gateway or master:director"
        )

    def _group(self, group: str | int, kind: str) -> int:
        try:
            return parse_group(group, self.groups)
        except Refused as error:
            raise NoRoute(str(error), route=f"{kind}:{group}") from None

    # --- joining ----------------------------------------------------------------------------------------------

    async def join(self, identity: Identity) -> None:
        """Register with every router, those that come later too.

        Raises `IdInUse` when one refuses, and the last router's error when none takes us: one that is stopping or has just died
        does not keep us from the others.
        """
        self.identity = identity
        failure: LuabusError | None = None
        for link in [link for link in self._links if link.ready]:
            try:
                await self._join(link)
            except IdInUse:
                raise
            except LuabusError as error:
                log.warning("%s: not joined: %s", link.name, error)
                failure = error
        if failure is not None and not any(link.joined for link in self._links):
            raise failure

    async def leave(self) -> None:
        """Ask all routers to send no more; when this returns, everything sent before has arrived."""
        self.identity = None
        await self._all("luabus.leave")

    async def claim_master(self, epoch: int) -> int:
        """Tell all routers that this process holds its group's lease; returns the highest epoch for which one of them refuses it,
        0 when none does. A router that hangs is not waited for."""
        results = await self._all("luabus.master", epoch, timeout=_TELL_TIMEOUT_S)
        return max((result.highest for result in results if isinstance(result, StaleEpoch)), default=0)

    async def report(self, problem: Message | None) -> None:
        """Tell all routers what is wrong with this process, for those who look at the cluster; None when it is over."""
        await self._all("luabus.report", problem.as_map() if problem else "", timeout=_TELL_TIMEOUT_S)

    async def resign_master(self, epoch: int) -> None:
        """Tell all routers that it does no longer. A router that hangs is not waited for."""
        await self._all("luabus.resign", epoch, timeout=_TELL_TIMEOUT_S)

    async def watch(self) -> None:
        """From now on call `on_group` with each group of each router that changes, beginning with all there are."""
        self._watching = True
        for link in self._links:
            if link.ready:
                with contextlib.suppress(LuabusError):
                    await self._watch(link)

    async def _all(self, method: str, *args: Any, timeout: float = REQUEST_TIMEOUT_S) -> list[Any]:
        streams = [link.stream for link in self._links if link.ready and link.stream is not None]
        results = await asyncio.gather(
            *(stream.request(method, *args, timeout=timeout) for stream in streams), return_exceptions=True
        )
        for result in results:
            if isinstance(result, LuabusError):
                log.warning("%s: %s", method, result)
        return results

    async def _join(self, link: RouterLink) -> None:
        identity = self.identity
        stream = link.stream
        if identity is None or stream is None:
            return
        answer = await stream.request(
            "luabus.join",
            int(identity.service_id),
            identity.name,
            identity.incarnation,
            identity.slots,
            identity.mode,
            {group: epoch for group, epoch in self.epochs.items() if epoch},
        )
        if self.identity is not identity:  # we left while we joined
            await stream.request("luabus.leave")
            return
        stream.source = identity.service_id
        link.token_there = answer["token"]
        link.joined = True
        epoch = self.epoch() if self.epoch is not None else 0
        if epoch:
            await stream.request("luabus.master", epoch)

    async def _watch(self, link: RouterLink) -> None:
        if link.stream is not None:
            await link.stream.request("luabus.watch")

    # --- links ------------------------------------------------------------------------------------------------

    def _prepare(self, link: RouterLink, stream: Stream) -> None:
        stream.frame_limit = self._frame_limit
        stream.set_send_buffer_size(self._buffer)
        stream.receiver = self._handlers
        stream.words = self._words
        stream.compress_above = self._compress_above
        stream.ping_body = lambda: self._report(link)

    def _report(self, link: RouterLink) -> bytes:
        """For a PING: which routers have another table than this one, as far as we see."""
        found = differences({other.name: other.digests for other in self._links if other.fresh}, link.name)
        return codec.pack_value(found) if found else b""

    async def _greet(self, link: RouterLink) -> None:
        if self._watching:
            await self._watch(link)
        if self.identity is not None:
            try:
                await self._join(link)
            except LuabusError as error:
                if self.on_refused is not None:
                    self.on_refused(error)
                raise

    def _up(self, link: RouterLink) -> None:
        self._preference.up(link)
        if self.on_router is not None:
            self.mgr.event(self.on_router, link.name, True)
        self._notify()

    def _down(self, link: RouterLink) -> None:
        self._preference.down(link)
        if self.on_router is not None and not self._closing:
            self.mgr.event(self.on_router, link.name, False)
        self._notify()

    def _notify(self) -> None:
        self.words += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _next_change(self) -> None:
        await self._changed.wait()

    async def in_turn(self, send: Callable[[Stream], object], timeout: float | None) -> Stream:
        """As `Failover.in_turn`."""
        return await self._preference.in_turn(send, timeout)

    async def master_change(
        self, since: int, deadline: float | None, route: str, timeout: float | None
    ) -> None:
        """Wait for news about masters or routers until `deadline` (monotonic seconds)."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        text = f"{route} had no master for {timeout} s"
        try:
            await self.news(since, left, text)
        except RequestTimeout:
            raise RequestTimeout(text, route=route, timeout_s=timeout or 0.0) from None

    async def news(self, since: int, timeout: float | None, text: str) -> None:
        """Wait until a router says something about groups, or comes or goes; not if one did since `words` was `since`.

        Raises `RequestTimeout` with `text`.
        """
        if self.words != since:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._next_change()
        except TimeoutError:
            raise RequestTimeout(text, timeout_s=timeout or 0.0) from None

    def hold(self, route: int, key: int, body: bytes, trace: int, epoch: int) -> SendResult:
        """Keep a message while the preferred router changes in an orderly way."""
        limit = min(
            (link.stream.body_limit for link in self._links if link.stream), default=self._frame_limit
        )
        if len(body) > limit:
            raise FrameTooLarge(
                f"the message takes {len(body)} bytes; at most {limit} can be sent",
                size=len(body),
                limit=limit,
            )
        self._preference.hold(
            lambda stream: stream.post(route, key, body, trace, epoch), len(body) + HEADER_SIZE + META_SIZE
        )
        return SENT

    # --- what routers say -------------------------------------------------------------------------------------

    def _speaker(self) -> RouterLink | None:
        """The link on which the word being handled came."""
        call = current.get()
        return next((link for link in self._links if call is not None and link.stream is call.stream), None)

    def _on_welcome(self, facts: dict[str, Any]) -> None:
        link = self._speaker()
        if link is not None:
            link.name = facts["router"]
            assert link.stream is not None
            link.stream.body_limit = facts["frame_limit"] - META_SIZE
            # What others send us through this router may be as long as it takes, whatever we send ourselves.
            link.stream.frame_limit = max(self._frame_limit, facts["frame_limit"])
            for group in facts["groups"]:
                self._on_names(group)
            link.welcome.set()

    def _on_names(self, group: dict[str, Any]) -> None:
        number = group["group"]
        if group["name"]:
            self.groups[group["name"]] = number
        # A router that has just started knows less than the others.
        if group["epoch"] >= self.epochs.get(number, 0):
            self.epochs[number] = group["epoch"]
            self.masters[number] = (group["master"], group["epoch"])
        if self.on_names is not None:
            self.on_names(group)
        self._notify()

    def _on_group(self, router: str, group: dict[str, Any]) -> None:
        if self.on_group is not None:
            self.mgr.event(self.on_group, router, group)

    def _on_draining(self, router: str) -> None:
        link = self._speaker()
        if link is None:
            return
        log.info("%s is stopping", router)
        self._preference.draining(link)

    def _link_news(self) -> None:
        self._preference.review()
        self._notify()
