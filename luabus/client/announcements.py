"""What routers tell every process: their names and limits, groups and masters, and that one is about to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from luabus.client.news import News, Observers
from luabus.client.router_link import RouterLink
from luabus.rpc.context import current
from luabus.rpc.dispatcher import Dispatcher

log = logging.getLogger("luabus.bus")


class Announcements:
    """Handles the calls that routers make themselves, and keeps what they told.

    `groups`: names to numbers; `masters`: group to (id, epoch), id 0 where there is none; `epochs`: the highest per group.
    `names` are told each group that a router tells about; `table(router, group)` is called with each that a router we watch has
    changed, `draining(link)` for a router that stops.
    """

    def __init__(
        self, news: News, draining: Callable[[RouterLink], None], table: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self.groups: dict[str, int] = {}
        self.masters: dict[int, tuple[int, int]] = {}
        self.epochs: dict[int, int] = {}
        self.names = Observers[[dict[str, Any]]]()
        self.receiver = Dispatcher("this bus")
        self._news = news
        self._draining = draining
        self._links: Sequence[RouterLink] = ()
        for method, handler in (
            ("welcome", self._welcome), ("names", self._names), ("group", table), ("draining", self._drains),
        ):  # fmt: skip
            self.receiver.rpc(handler, name=f"luabus.{method}")

    def start(self, links: Sequence[RouterLink]) -> None:
        """From now on `links` are the routers'."""
        self._links = links

    def _speaker(self) -> RouterLink | None:
        """The link over which the call being handled came."""
        call = current.get()
        return next((link for link in self._links if call is not None and link.stream is call.stream), None)

    def _welcome(self, facts: dict[str, Any]) -> None:
        link = self._speaker()
        if link is not None:
            link.welcomed(facts["router"], facts["incarnation"], facts["frame_limit"])
            for group in facts["groups"]:
                self._names(group)

    def _names(self, group: dict[str, Any]) -> None:
        number = group["group"]
        if group["name"]:
            self.groups[group["name"]] = number
        # A router that has just started knows less than the others.
        if group["epoch"] >= self.epochs.get(number, 0):
            self.epochs[number] = group["epoch"]
            self.masters[number] = (group["master"], group["epoch"])
        self.names.tell(group)
        self._news.notify()

    def _drains(self, router: str) -> None:
        link = self._speaker()
        if link is not None:
            log.info("%s is stopping", router)
            self._draining(link)
