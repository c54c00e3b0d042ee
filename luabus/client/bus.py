"""A process' way onto the bus: links to all routers, one of them preferred, and the five routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from luabus import option_checks, tasks
from luabus.client.addresses import Addresses
from luabus.client.announcements import Announcements
from luabus.client.failover import Failover
from luabus.client.flow_control import FlowControl
from luabus.client.membership import Membership
from luabus.client.news import News, Observers
from luabus.client.one_link import Holders, distinct
from luabus.client.router_link import RouterLink
from luabus.client.routes import SENT, SendResult
from luabus.errors import AuthError, ConfigError, FrameTooLarge, LuabusError, NoRoute, NotConnected, Refused
from luabus.host_addresses import canonical, parse_address, parse_peer
from luabus.limits import HEARTBEAT_S, MOMENT_S, REQUEST_TIMEOUT_S, STUCK_TIMEOUT_S
from luabus.messages import Message
from luabus.protocol import codec
from luabus.protocol.frames import HEADER_SIZE, META_SIZE
from luabus.protocol.stream_options import BUS_STREAM, StreamOptions
from luabus.routing.table_digests import differences
from luabus.rpc.dispatcher import Dispatcher
from luabus.rpc.loop_monitor import LoopMonitor
from luabus.transport.manager import SocketMgr
from luabus.transport.security import NO_SECURITY, Security
from luabus.transport.stream import Stream


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


class Bus(Addresses):
    """The bus, seen from one process. Use `luabus.connect(...)`, or a service's `bus`.

    `groups` maps names to numbers; the routers tell more. `masters` maps a group's number to (id, epoch), id 0 where it has none;
    `epochs` to the highest epoch known. `membership` is what this process is to its routers. `handlers` take the calls that
    arrive; `refused(error)` is called when a router that comes later does not take us.
    """

    def __init__(
        self, handlers: Dispatcher | None = None, refused: Callable[[LuabusError], None] | None = None
    ) -> None:
        self.news = News()
        self.flow = FlowControl()
        self.failover = Failover(self.news.notify)
        self.epoch_source: Callable[[], int] | None = None
        self._lease_source: Callable[[], int] | None = None
        self._announcements = Announcements(self.news, self.failover.draining, self._table, self._named)
        self.groups = self._announcements.groups
        self.masters = self._announcements.masters
        self.epochs = self._announcements.epochs
        self.membership = Membership(self.epochs, self._epoch, refused, self.news.next_change, self.check_use)
        self._handlers = handlers or Dispatcher("this client")
        self._links: list[RouterLink] = []
        self._holders = Holders()
        self._tasks: list[asyncio.Task[None]] = []
        self._mgr: SocketMgr | None = None
        self._options = BUS_STREAM
        self._closing = False
        self._monitor: LoopMonitor | None = None
        self._routers = Observers[[str, bool]]()
        self._tables = Observers[[str, dict[str, Any]]]()
        self._names = Observers[[dict[str, Any]]]()

    # --- life -------------------------------------------------------------------------------------------------

    async def start(
        self,
        routers: Iterable[str],
        *,
        groups: Mapping[str, int] | None = None,
        security: Security = NO_SECURITY,
        options: StreamOptions = BUS_STREAM,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """Begin to connect to all routers; returns at once. Raises `ConfigError` for an address that is none, or without any,
        `Refused` when it is connected already."""
        if self._mgr is not None and not self._closing and not self._mgr.loop.is_closed():
            raise Refused("this bus has been started already")
        addresses = distinct(parse_peer(router) for router in option_checks.texts("routers", routers))
        if not addresses:
            raise ConfigError("no router is given; name at least one, such as 127.0.0.1:7070", key="routers")
        option_checks.check_groups(groups)
        self.groups.update(groups or {})
        self._options = options
        self._closing = False
        self._monitor = self._monitor or LoopMonitor.acquire()
        # An old stream may still be closing.
        self._mgr = SocketMgr(2 * len(addresses), security=security.to("router"), options=options)
        self._mgr.affinity.bind()
        self._links = [
            RouterLink(
                self._mgr, host, port, holders=self._holders, receiver=self._handlers,
                control_receiver=self._announcements.receiver,
                greet=self.membership.greet, up=self._up, down=self._down, news=self._link_news,
                heartbeat_body=self._disagreements, was_blocked=self._monitor.was_blocked, heartbeat_s=heartbeat_s,
            )
            for host, port in addresses
        ]  # fmt: skip
        for part in (self.membership, self._announcements):
            part.start(self._links)
        self.failover.start(self._links, options.send_buffer)
        self._tasks = [
            asyncio.create_task(link.run(), name=f"luabus link {link.address}") for link in self._links
        ]

    async def ready(self, timeout: float | None = 5.0) -> None:
        """Wait for the first router. Raises `NotConnected` with each router's reason, after `timeout` seconds or
        as soon as every one has refused our secret; and at once when the bus is closed."""
        self.check_use()
        try:
            async with asyncio.timeout(option_checks.time_limit(timeout)):
                while not any(link.ready for link in self._links):
                    if self._mgr is None or self._closing:
                        raise self.failover.not_connected()
                    await self.news.next_change()
                    errors = [link.last_error for link in self._links]
                    refusals = [error for error in errors if isinstance(error, AuthError)]
                    if refusals and len(refusals) == len(errors):
                        raise refusals[0]
        except TimeoutError:
            raise self.failover.not_connected() from None

    async def close(self, timeout_s: float = STUCK_TIMEOUT_S) -> None:
        """Close all links, when the routers have taken what was sent, or after `timeout_s` seconds."""
        self.check_use()
        self._closing = True
        if self._monitor is not None:
            monitor, self._monitor = self._monitor, None
            monitor.release()
        await self.failover.close()
        self.news.notify()
        for link in self._links:
            if link.stream is not None:
                link.stream.close()  # here, not in the link's task: a handler that closes the bus is known by its context
        await tasks.end(self._tasks, MOMENT_S)
        self._tasks.clear()
        if self._mgr is not None:
            await self._mgr.close(timeout_s)
        await self._announcements.receiver.close()

    # --- routers ----------------------------------------------------------------------------------------------

    @property
    def mgr(self) -> SocketMgr:
        """The manager of the links' streams. Raises `NotConnected` before `start`."""
        if self._mgr is None:
            raise NotConnected("this bus has not been started")
        return self._mgr

    @property
    def routers(self) -> list[RouterLink]:
        """Every router's link, with `name`, `address` and `connected`. One for each: an address that leads to a router which
        another has reached is not among them, as long as that one is up."""
        return [link for link in self._links if link.stands_by_for is None]

    @property
    def preferred(self) -> Stream | None:
        """The stream to the router that this process forwards through now; None while there is none."""
        return self.failover.stream

    @property
    def preferred_router(self) -> str:
        """The name of that router; "" while there is none."""
        return self.failover.link.name if self.failover.link is not None else ""

    def router(self, name: str) -> RouterPeer:
        """The router called `name`, or at the address `name`, for its own RPC methods.

        Raises `NoRoute` for an unknown one, `Refused` for a name that two routers go by at this moment.
        """
        named = [link for link in self.routers if link.name == name]
        connected = [link for link in named if link.ready]
        if len(connected) > 1:
            at = ", ".join(link.address for link in connected)
            raise Refused.coded(Message("refusal.two-routers-one-name", router=name, at=at))
        if named:
            return RouterPeer((connected or named)[0])
        with contextlib.suppress(ConfigError):
            address = canonical(*parse_address(name))
            for link in self._links:
                if canonical(link.host, link.port) == address:
                    return RouterPeer(link.stands_by_for or link)
        raise NoRoute(
            f"there is no router {name!r}; there are: {', '.join(link.name for link in self._links)}",
            route=name,
        )

    def hear(self, word: str, handler: Callable[..., Any]) -> None:
        """Let `handler` answer when a router itself says `word` (`luabus.hand_over`); what is routed here never reaches it."""
        self._announcements.hear(word, handler)

    # --- news -------------------------------------------------------------------------------------------------

    def on_router(self, function: Callable[[str, bool], Any]) -> Callable[[], None]:
        """Call `function(router, connected)` when a router comes or goes; returns what ends that."""
        return self._routers.subscribe(function)

    def on_group(self, function: Callable[[str, dict[str, Any]], Any]) -> Callable[[], None]:
        """Call `function(router, group)` with each changed table, after `watch()`; returns what ends that."""
        return self._tables.subscribe(function)

    def on_names(self, function: Callable[[dict[str, Any]], Any]) -> Callable[[], None]:
        """Call `function(group)` when a router tells a group's name, master and epoch; returns what ends that."""
        return self._names.subscribe(function)

    async def watch(self) -> None:
        """From now on tell `on_group`'s subscribers each group of each router that changes, beginning with all there are."""
        await self.membership.watch()

    # --- sending ----------------------------------------------------------------------------------------------

    def check_use(self) -> None:
        """Raises `Refused` in another event loop, thread or process than the one that it was started in."""
        if self._mgr is not None:
            self._mgr.affinity.check()

    def speak_with_epoch(self, source: Callable[[], int], lease: Callable[[], int]) -> None:
        """Messages carry what `source()` tells: the epoch under which this process is master now; 0 when it is not, or has not
        told the routers yet, which end who speaks with an epoch that it never claimed. A router that comes is told `lease()`."""
        self.epoch_source = source
        self._lease_source = lease

    def hold(self, route: int, key: int, body: bytes, trace: int, epoch: int) -> SendResult:
        """Keep a one-way message while the preferred router changes in an orderly way."""
        self.check_use()
        streams = [link.stream for link in self._links if link.stream is not None]
        limit = min((stream.body_limit for stream in streams), default=self._options.frame_limit)
        if len(body) > limit:
            raise FrameTooLarge(
                f"the message takes {len(body)} bytes; at most {limit} can be sent",
                size=len(body),
                limit=limit,
            )

        def send(stream: Stream) -> None:
            still_master = self.epoch_source is not None and self.epoch_source() == epoch
            stream.post(route, key, body, trace, epoch if still_master else 0)

        self.failover.hold(send, len(body) + HEADER_SIZE + META_SIZE)
        return SENT

    def _epoch(self) -> int:
        return self._lease_source() if self._lease_source is not None else 0

    # --- links ------------------------------------------------------------------------------------------------

    def _disagreements(self, link: RouterLink) -> bytes:
        """For a PING: which routers have another table than this one, as far as we see; and that another one has its name."""
        others = [
            other for other in self._links if other.fresh and (other is link or other.name != link.name)
        ]
        differing = differences({other.name: other.digests for other in others}, link.name)
        if self._holders.namesake(link, self._links) is not None:
            differing[link.name] = {}
        return codec.pack_value(differing) if differing else b""

    def _up(self, link: RouterLink) -> None:
        self.failover.up(link)
        self._event(self._routers, link.name, True)
        self.news.notify()

    def _down(self, link: RouterLink) -> None:
        self.failover.down(link)
        self._announcements.forget(link)
        if not self._closing:
            self._event(self._routers, link.name, False)
        self.news.notify()

    def _table(self, router: str, group: dict[str, Any]) -> None:
        self._event(self._tables, router, group)

    def _named(self, group: dict[str, Any]) -> None:
        self._event(self._names, group)

    def _link_news(self) -> None:
        self.failover.review()
        self.news.notify()

    def _event(self, observers: Observers[...], *args: Any) -> None:
        """Tell the user's functions; what one of them raises stops nothing."""
        for function in observers:
            self.mgr.event(function, *args)
