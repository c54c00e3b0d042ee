"""What routers tell every process: their names and limits, groups and masters, and that one is about to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from luabus.client.news import News
from luabus.client.router_link import RouterLink
from luabus.client.router_words import heard
from luabus.limits import EPOCH_LEAP
from luabus.logs import Log
from luabus.routing.views import GroupPages
from luabus.rpc.context import current
from luabus.rpc.dispatcher import Dispatcher

log = Log("luabus.bus")


class Announcements:
    """Handles the calls that routers make themselves, and keeps what they told.

    `groups`: names to numbers; `masters`: group to (id, epoch), id 0 where there is none; `epochs`: the highest per group.
    `named(group)` is called with each group that a router tells about; `table(router, group)` with each that a router we watch
    has changed, `draining(link)` for a router that stops.
    """

    def __init__(
        self,
        news: News,
        draining: Callable[[RouterLink], None],
        table: Callable[[str, dict[str, Any]], None],
        named: Callable[[dict[str, Any]], None],
    ) -> None:
        self.groups: dict[str, int] = {}
        self.masters: dict[int, tuple[int, int]] = {}
        self.epochs: dict[int, int] = {}
        self.receiver = Dispatcher("this bus")
        self._told: dict[RouterLink | None, dict[int, str]] = {}
        self._news = news
        self._draining = draining
        self._named = named
        self._links: Sequence[RouterLink] = ()
        self._table = table
        self._pages: dict[RouterLink, GroupPages] = {}
        words: tuple[tuple[str, Callable[..., None]], ...] = (
            ("welcome", self._welcome), ("names", self._names), ("group", self._group), ("draining", self._drains),
        )  # fmt: skip
        for word, handler in words:
            self.hear(f"luabus.{word}", handler)

    def start(self, links: Sequence[RouterLink]) -> None:
        """From now on `links` are the routers'."""
        self._links = links

    def hear(self, word: str, handler: Callable[..., Any]) -> None:
        """Let `handler` answer when a router itself says `word`, which is declared; what is routed here never reaches it."""
        self.receiver.word(heard(word, handler), word)

    def forget(self, link: RouterLink) -> None:
        """A router is gone: what it said of names keeps them from nobody any more."""
        self._told.pop(link, None)

    def _speaker(self) -> RouterLink | None:
        """The link over which the call being handled came."""
        call = current.get()
        return next((link for link in self._links if call is not None and link.stream is call.stream), None)

    def _welcome(self, facts: dict[str, Any]) -> None:
        link = self._speaker()
        if link is not None:
            self._pages[link] = GroupPages()
            link.masters.clear()
            link.welcomed(facts["router"], facts["incarnation"], facts["frame_limit"])
            self._told.pop(link, None)
            for group in facts["groups"]:
                self._names(group)

    def _names(self, group: dict[str, Any]) -> None:
        link = self._speaker()
        number = group["group"]
        self._called(self._told.setdefault(link, {}), number, group["name"])
        if link is not None:
            link.masters[number] = (group["master"], group["epoch"])
            self._believe(number)
        self._named(group)
        self._news.notify()

    def _called(self, told: dict[int, str], number: int, name: str) -> None:
        """A router says how a group is called. A name that another number has keeps it as long as any router says so."""
        former = told.get(number, "")
        if former == name:
            return
        told[number] = name
        if former and self.groups.get(former) == number and not self._numbers_of(former):
            del self.groups[former]
        elif former:
            self._settle(former)
        if name and self.groups.setdefault(name, number) != number:
            self._settle(name)

    def _settle(self, name: str) -> None:
        known = self.groups.get(name)
        numbers = self._numbers_of(name)
        if len(numbers) > 1:
            log.error("routers disagree: %s is group %s", name, " and ".join(map(str, sorted(numbers))))
        if numbers and known not in numbers:
            self.groups[name] = min(numbers)

    def _numbers_of(self, name: str) -> set[int]:
        return {number for told in self._told.values() for number, known in told.items() if known == name}

    def _believe(self, number: int) -> None:
        """The master of the highest epoch that a router tells is the group's. A lower one than was known before is no news: a
        router that has just started knows less. But what lies a leap below has replaced what the routers believed by mistake.
        """
        said = [link.masters[number] for link in self._links if number in link.masters]
        master, epoch = max(said, key=lambda told: (told[1], told[0]))
        known = self.epochs.get(number, 0)
        if epoch >= known or (master and known - epoch > EPOCH_LEAP):
            self.epochs[number] = epoch
            self.masters[number] = (master, epoch)

    def _group(self, router: str, page: dict[str, Any]) -> None:
        link = self._speaker()
        if link is not None:
            whole = self._pages.setdefault(link, GroupPages()).add(page)
            if whole is not None:
                self._table(router, whole)

    def _drains(self, router: str) -> None:
        link = self._speaker()
        if link is not None:
            log.info("%s is stopping", router)
            self._draining(link)
