"""Which router a process forwards through, and the orderly change to another.

The preferred router changes only when it is lost or asks to drain; never because another one appeared. So what one process sends
to another arrives in order. When a router drains, the change is orderly: what is sent meanwhile waits until everything that went
through the old router has arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Final

from luabus import tasks
from luabus.client.router_link import RouterLink
from luabus.errors import LuabusError, NotConnected, Overloaded
from luabus.limits import DEFAULT_BUS_BUFFER, MOMENT_S
from luabus.logs import Log
from luabus.protocol.codec import pack_call
from luabus.transport.stream import CALL_ROUTE, Stream

log = Log("luabus.bus")

_SWITCH_TIMEOUT_S: Final = 2.0
_AGREE_TIMEOUT_S: Final = 5.0


class HeldMessage:
    """A message that waits for the end of an orderly change, or (with a future) a request that its task has yet to await."""

    __slots__ = ("future", "send")

    def __init__(
        self, send: Callable[[Stream], object], future: asyncio.Future[Stream] | None = None
    ) -> None:
        self.send = send
        self.future = future


class Failover:
    """`link` and its `stream` are the preferred router's; None while there is none. `changed()` is called when there is another.

    `buffer`: bytes of a send buffer; half of it may be held during a change.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.link: RouterLink | None = None
        self.stream: Stream | None = None
        self._changed = changed
        self._links: Sequence[RouterLink] = ()
        self._buffer = DEFAULT_BUS_BUFFER
        self._held: list[HeldMessage] = []
        self._held_bytes = 0
        self._switching: asyncio.Task[None] | None = None
        self._review: asyncio.TimerHandle | None = None
        self._closing = False

    def start(self, links: Sequence[RouterLink], buffer: int) -> None:
        """From now on one of `links` is preferred."""
        self._links = links
        self._buffer = buffer
        self._closing = False

    async def close(self) -> None:
        """None is, from now on; what is held is dropped, requests with `NotConnected`."""
        self._closing = True
        if self._review is not None:
            self._review.cancel()
        if self._switching is not None:
            await tasks.end([self._switching], MOMENT_S)
        self._drop_held()

    # --- what happens to links --------------------------------------------------------------------------------

    def up(self, link: RouterLink) -> None:
        """A link is usable."""
        if self.link is None and self._switching is None:
            self._prefer(link)
        self.review()

    def down(self, link: RouterLink) -> None:
        """A link is lost."""
        if link is not self.link:
            return
        self.link = self.stream = None
        others = self._usable()
        if others and not self._closing:
            self._prefer(random.choice(others))

    def draining(self, link: RouterLink) -> None:
        """A link's router says that it stops."""
        link.drains()
        if all(each.draining or each.stands_by_for is not None for each in self._links):
            self._stay()
        self.review()
        if self._review is not None:
            self._review.cancel()
        self._review = asyncio.get_running_loop().call_later(_AGREE_TIMEOUT_S, self.review, False)

    def review(self, agreeing: bool = True) -> None:
        """If the preferred router is stopping and another is there, change over.

        `agreeing`: only to one with the same table. A router that has just started may not know all services yet, and the one
        that stops waits for us.
        """
        old = self.link
        if old is None or not old.draining or self._closing:
            return
        others = self._usable()
        if agreeing:
            others = [link for link in others if link.digests == old.digests]
        if others:
            self.link = self.stream = None
            self._switching = tasks.start(self._change_over(old, random.choice(others)))
        elif not agreeing:
            self._stay()

    # --- sending while there is none --------------------------------------------------------------------------

    async def send_next(self, send: Callable[[Stream], object], timeout: float | None) -> Stream:
        """While there is no preferred router: call `send` with the next one's stream when the orderly change is over, behind all
        that was held before; returns that stream.

        Raises `NotConnected` when no change is under way, what `send` raises, and `TimeoutError` after `timeout` seconds.
        """
        if self._switching is None:
            await asyncio.sleep(0)  # who tries again in a loop must let the links connect meanwhile
            raise self.not_connected()
        future: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        self._held.append(HeldMessage(send, future))
        async with asyncio.timeout(timeout):
            return await future

    def hold(self, send: Callable[[Stream], object], size: int) -> None:
        """The same for a one-way message of `size` bytes. Raises `NotConnected` or `Overloaded`."""
        if self._switching is None:
            raise self.not_connected()
        if self._held_bytes + size > self._buffer // 2:
            raise Overloaded(
                f"{self._held_bytes} bytes wait for the change of router already",
                what="bytes held", limit=self._buffer // 2, current=self._held_bytes,
            )  # fmt: skip
        self._held.append(HeldMessage(send))
        self._held_bytes += size

    def not_connected(self) -> NotConnected:
        """The error that says of each router why it is not connected."""
        if self._closing or not self._links:
            text = "this bus is closed" if self._closing else "this bus has not been started"
            return NotConnected(text, routers=[link.address for link in self._links])
        reasons = "; ".join(map(_why_down, self._links))
        return NotConnected(
            f"no router is connected ({reasons})", routers=[link.address for link in self._links]
        )

    # --- changing ---------------------------------------------------------------------------------------------

    def _usable(self) -> list[RouterLink]:
        return [link for link in self._links if link.ready and not link.draining]

    def _prefer(self, link: RouterLink) -> None:
        stream = link.stream
        if stream is None:
            return
        self.link, self.stream = link, stream
        log.info("forwarding through %s", link.name)
        held, self._held, self._held_bytes = self._held, [], 0
        _tell(stream, True)
        for message in held:
            if message.future is not None and message.future.done():
                continue  # nobody waits for it any more
            try:
                message.send(stream)
            except LuabusError as error:
                if message.future is not None:
                    message.future.set_exception(error)
                else:  # was accepted within the limits, so it is the loss of a stream that comes here
                    log.warning("a message held during the change of router is lost: %s", error)
            else:
                if message.future is not None:
                    message.future.set_result(stream)
        self._changed()

    def _stay(self) -> None:
        """There is nothing to change over to: no router that stops need wait for us."""
        for link in self._links:
            if link.draining and link.stream is not None:
                _tell(link.stream, False)

    async def _change_over(self, old: RouterLink, new: RouterLink) -> None:
        """Hold what is sent until all that went through `old` has arrived, then prefer `new`."""
        try:
            if old.stream is not None and old.ready:
                with contextlib.suppress(LuabusError):
                    await old.stream.request("luabus.flush", timeout=_SWITCH_TIMEOUT_S)
        finally:
            self._switching = None
            others = [new, *self._usable()] if new.ready and not new.draining else self._usable()
            if not self._closing and (others or old.ready):
                self._prefer(others[0] if others else old)
            self._drop_held()  # empty, unless every router was lost meanwhile
            self._changed()

    def _drop_held(self) -> None:
        """There is no router left for what is held."""
        held, self._held, self._held_bytes = self._held, [], 0
        for message in held:
            if message.future is not None and not message.future.done():
                message.future.set_exception(self.not_connected())


def _tell(stream: Stream, preferred: bool) -> None:
    stream.send_reserved(CALL_ROUTE, body=pack_call("luabus.prefer", (preferred,)))


def _why_down(link: RouterLink) -> str:
    """Which router, and why it is not connected; an address that the reason begins with is not told twice."""
    reason = str(link.last_error or "not connected yet")
    return reason if reason.startswith(f"{link.name}: ") else f"{link.name}: {reason}"
