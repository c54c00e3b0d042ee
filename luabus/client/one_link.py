"""One link to each router, however many addresses lead to it; and two routers that go by one name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from luabus.host_addresses import canonical, format_address
from luabus.logs import Log

log = Log("luabus.bus")

RouterIdentity = tuple[str, int]
"""A router's name and incarnation: one process, wherever one has reached it."""

_NOBODY: Final[RouterIdentity] = ("", 0)


class Reached(Protocol):
    """A link, as it is seen here."""

    name: str
    address: str
    draining: bool
    identity: RouterIdentity

    def was_alive_at(self, moment: float) -> bool:
        """Whether its router has been heard since."""

    @property
    def up_since(self) -> float:
        """Monotonic seconds."""


def distinct(addresses: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Each address once, with a warning for those that are given again."""
    kept: dict[tuple[str, int], tuple[str, int]] = {}
    again: list[str] = []
    for address in addresses:
        key = canonical(*address)
        if key in kept:
            again.append(format_address(*address))
        else:
            kept[key] = address
    if again:
        log.warning("named more than once among the routers, and connected once: %s", ", ".join(again))
    return list(kept.values())


class Holders:
    """Which link is the one to which router."""

    def __init__(self) -> None:
        self._links: dict[RouterIdentity, tuple[Reached, asyncio.Event]] = {}
        self._warned: set[frozenset[str]] = set()
        self._namesakes: set[frozenset[str]] = set()

    def hold(self, link: Reached) -> Reached | None:
        """`link` has reached a router; returns the link that has it already, which keeps it, None if there is none."""
        holder, _ = self._links.setdefault(link.identity, (link, asyncio.Event()))
        if holder is link:
            return None
        pair = frozenset((link.address, holder.address))
        if pair not in self._warned:
            self._warned.add(pair)
            log.warning("%s leads to %s as %s does, and stands by", link.address, link.name, holder.address)
        return holder

    def release(self, link: Reached) -> None:
        """`link` has lost its router."""
        holder, released = self._links.get(link.identity, (None, None))
        if holder is link and released is not None:
            del self._links[link.identity]
            released.set()

    async def released(self, holder: Reached) -> None:
        """Wait until `holder` has lost its router."""
        held, released = self._links.get(holder.identity, (None, None))
        if held is holder and released is not None:
            await released.wait()

    def namesake(self, link: Reached, links: Sequence[Reached]) -> Reached | None:
        """Another router which lives at the same time and goes by the same name as that of `link`."""
        for other in links:
            if (
                other.name != link.name
                or other.identity in (_NOBODY, link.identity)
                or other.draining
                or link.draining
            ):
                continue
            since = max(link.up_since, other.up_since)
            if link.was_alive_at(since) and other.was_alive_at(since):
                pair = frozenset((link.address, other.address))
                if pair not in self._namesakes:
                    self._namesakes.add(pair)
                    log.error(
                        "two routers are both named %s: at %s and at %s",
                        link.name,
                        link.address,
                        other.address,
                    )
                return other
        return None
