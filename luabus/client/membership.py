"""What a process is to its routers: a member with an id, perhaps its group's master, perhaps one who watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luabus.client.router_link import RouterLink
from luabus.errors import (
    BadArguments,
    ConnectionLost,
    IdInUse,
    LuabusError,
    NotConnected,
    ProtocolError,
    RequestTimeout,
    StaleEpoch,
)
from luabus.ids import ServiceId
from luabus.limits import EPOCH_LEAP, HEARTBEAT_S, REQUEST_TIMEOUT_S
from luabus.logs import Log
from luabus.messages import Message
from luabus.rpc.shapes import MAX_U32, Record, Whole

log = Log("luabus.bus")

_JOINED = Record({"token": Whole(0, MAX_U32)})
JOIN_TIMEOUT_S = 10.0
_LOST = (ConnectionLost, NotConnected, RequestTimeout)
"""A link that dies and comes again: what was to be said is said then."""
_TELL_TIMEOUT_S = HEARTBEAT_S / 2
"""For what is said again with the next heartbeat."""


def _is_near(highest: object, epoch: int) -> bool:
    return type(highest) is int and epoch <= highest <= epoch + EPOCH_LEAP


@dataclass(frozen=True, slots=True)
class Identity:
    """Who joins: id, group name, incarnation. `debugged`: it may stand still at a breakpoint, and is not lost then. `follows`:
    routers are to tell who is live in the group. `process` tells a router that it is the same process which comes again."""

    service_id: ServiceId
    name: str
    incarnation: int
    mode: str
    debugged: bool = False
    follows: bool = False
    process: int = field(default_factory=lambda: int.from_bytes(os.urandom(8), "little"))


class Membership:
    """Joins every router, those that come later too, and tells all of them what they must know.

    `epochs`: the highest that is known per group; `epoch()`: under which this process is master now, 0 when it is not. `refused`
    is called with the error when a router that comes later refuses us; `next_change()` waits until a link is another;
    `check_use()` raises `Refused` where the bus may not be used.
    """

    def __init__(
        self,
        epochs: dict[int, int],
        epoch: Callable[[], int],
        refused: Callable[[LuabusError], None] | None,
        next_change: Callable[[], Awaitable[None]],
        check_use: Callable[[], None],
    ) -> None:
        self.identity: Identity | None = None
        self._epochs = epochs
        self._epoch = epoch
        self._refused = refused
        self._next_change = next_change
        self._check_use = check_use
        self._refusal: LuabusError | None = None
        self._links: Sequence[RouterLink] = ()
        self._watching = False
        self._stands = False

    def start(self, links: Sequence[RouterLink]) -> None:
        """From now on `links` are the routers'."""
        self._links = links

    async def greet(self, link: RouterLink) -> None:
        """A router has come: be to it what we are to the others. Raises what it refuses us with."""
        if self._watching:
            await self._watch(link)
        if self.identity is not None:
            try:
                await self._join(link, self.identity)
            except LuabusError as error:
                if not isinstance(error, _LOST):
                    self._refusal = error
                if self._refused is not None:
                    self._refused(error)
                raise

    async def join(self, identity: Identity, timeout: float | None = JOIN_TIMEOUT_S) -> None:
        """Register with every router, those that come later too; returns when one has taken us.

        Raises `IdInUse` when one refuses, and the last router's error when none takes us: one that is stopping or has just died
        does not keep us from the others. Links that are down or die meanwhile are waited for, `timeout` seconds at most (None:
        for ever): they join when they are up again.
        """
        self._check_use()
        self.identity = identity
        self._refusal = None
        failure: LuabusError | None = None
        for link in [link for link in self._links if link.ready]:
            try:
                await self._join(link, identity)
            except IdInUse:
                raise
            except LuabusError as error:
                log.warning("%s: not joined: %s", link.name, error)
                failure = error
        if failure is not None and not isinstance(failure, _LOST) and not self._has_joined():
            raise failure
        try:
            async with asyncio.timeout(timeout):
                while self._links and not self._has_joined():
                    if self._refusal is not None:
                        raise self._refusal
                    await self._next_change()
        except TimeoutError:
            routers = [link.address for link in self._links]
            raise failure or NotConnected(
                "no router is connected to register with", routers=routers
            ) from None

    def _has_joined(self) -> bool:
        return any(link.joined for link in self._links)

    async def leave(self) -> None:
        """Ask all routers to send no more; when this returns, everything sent before has arrived."""
        self._check_use()
        self.identity = None
        self._stands = False
        await self._all("luabus.leave")

    async def stand(self) -> None:
        """Tell all routers, those that come later too, that this process stands for election."""
        self._check_use()
        self._stands = True
        await self._all("luabus.stand", timeout=_TELL_TIMEOUT_S)

    async def claim_master(self, epoch: int) -> int:
        """Tell all routers that this process holds its group's lease; returns the highest epoch for which one of them refuses it,
        0 when none does. One that lies a leap away is no reason: it is a mistake, and the router believes who insists. A router
        that hangs is not waited for."""
        self._check_use()
        results = await self._all("luabus.master", epoch, timeout=_TELL_TIMEOUT_S)
        refused = [result.highest for result in results if isinstance(result, StaleEpoch)]
        return max((highest for highest in refused if _is_near(highest, epoch)), default=0)

    async def resign_master(self, epoch: int) -> None:
        """Tell all routers that it does no longer. A router that hangs is not waited for."""
        self._check_use()
        await self._all("luabus.resign", epoch, timeout=_TELL_TIMEOUT_S)

    async def report(self, problem: Message | None) -> None:
        """Tell all routers what is wrong with this process, for those who look at the cluster; None when it is over."""
        self._check_use()
        await self._all("luabus.report", problem.as_map() if problem else "", timeout=_TELL_TIMEOUT_S)

    async def watch(self) -> None:
        """From now on have every router tell each group that changes, beginning with all there are."""
        self._check_use()
        self._watching = True
        for link in self._links:
            if link.ready:
                with contextlib.suppress(LuabusError):
                    await self._watch(link)

    async def _all(self, method: str, *args: Any, timeout: float = REQUEST_TIMEOUT_S) -> list[Any]:
        # A link that has joined is ready in a moment, and what it is told before is in order with what follows.
        links = [link for link in self._links if link.ready or link.joined]
        streams = [link.stream for link in links if link.stream is not None]
        results = await asyncio.gather(
            *(stream.request(method, *args, timeout=timeout) for stream in streams), return_exceptions=True
        )
        for result in results:
            if isinstance(result, LuabusError):
                log.warning("%s: %s", method, result)
        return results

    async def _join(self, link: RouterLink, identity: Identity) -> None:
        stream = link.stream
        if stream is None:
            return
        answer = await stream.request(
            "luabus.join",
            int(identity.service_id),
            identity.name,
            identity.incarnation,
            identity.mode,
            self._heard_of(link, identity),
            identity.process,
            identity.follows,
        )
        if self.identity is not identity:  # we left while we joined
            await stream.request("luabus.leave")
            return
        try:
            _JOINED.check(answer, "the answer")
        except BadArguments as error:
            raise ProtocolError(
                f"{link.name} answers luabus.join with what makes no sense: {error}"
            ) from None
        stream.speak_as(identity.service_id)
        link.has_joined(answer["token"])
        if identity.debugged:
            await stream.request("luabus.debugged")
        if self._stands:
            await stream.request("luabus.stand")
        epoch = self._epoch()
        if epoch:
            with contextlib.suppress(StaleEpoch):  # with the next heartbeat it is claimed everywhere
                await stream.request("luabus.master", epoch)

    def _heard_of(self, link: RouterLink, identity: Identity) -> dict[int, int]:
        """The epochs to tell a router, of the groups it knows: so one that has just started refuses the masters of the past."""
        known = {*link.masters, identity.service_id.group}
        return {group: epoch for group, epoch in self._epochs.items() if epoch and group in known}

    @staticmethod
    async def _watch(link: RouterLink) -> None:
        if link.stream is not None:
            await link.stream.request("luabus.watch")
