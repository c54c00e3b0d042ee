"""What routers tell every process: their names and limits, groups and masters, and that one is about to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from luabus.client.news import News, Observers
from luabus.client.router_link import RouterLink
from luabus.errors import BadArguments, ProtocolError
from luabus.ids import MAX_GROUP, MAX_INSTANCE
from luabus.limits import EPOCH_LEAP, MAX_EPOCH, MAX_FRAME_LIMIT
from luabus.routing.views import GROUP_ROWS, GroupPages
from luabus.rpc.context import current
from luabus.rpc.dispatcher import Dispatcher
from luabus.rpc.shapes import (
    FLAG,
    GROUP,
    MAX_U32,
    MEMBER,
    NAME,
    NAME_LENGTH,
    Either,
    ListOf,
    OneOf,
    Optional,
    Record,
    Shape,
    Text,
    Whole,
    checked,
)

log = logging.getLogger("luabus.bus")

_ROUTER: Final = Text(NAME_LENGTH, least=1)
_EPOCH: Final = Whole(0, MAX_EPOCH)
_MEMBER_NAME: Final = Text(NAME_LENGTH + 6, least=1)
_NAMES: Final = Record(
    {"group": GROUP, "name": NAME, "mode": NAME, "master": Either((OneOf((0,)), MEMBER)), "epoch": _EPOCH}
)
_WELCOME: Final = Record(
    {
        "router": _ROUTER,
        "frame_limit": Whole(1, MAX_FRAME_LIMIT),
        "groups": ListOf(_NAMES, MAX_GROUP),
    }
)
_SLOT: Final = Record(
    {
        "service_id": _MEMBER_NAME, "name": _MEMBER_NAME, "token": Whole(0, MAX_U32),
        "slot": Optional(Whole(0, MAX_INSTANCE - 1)),
    }
)  # fmt: skip
_GROUP: Final = Record(
    {
        "group": GROUP, "name": NAME, "mode": NAME, "master": Optional(_MEMBER_NAME), "elected": FLAG, "epoch": _EPOCH,
        "slots": ListOf(_SLOT, GROUP_ROWS), "after": Whole(0, MAX_U32), "next": Optional(Whole(1, MAX_U32)),
    }
)  # fmt: skip


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
        self._table = table
        self._pages: dict[RouterLink, GroupPages] = {}
        words: tuple[tuple[str, Callable[..., None], tuple[Shape, ...]], ...] = (
            ("welcome", self._welcome, (_WELCOME,)),
            ("names", self._names, (_NAMES,)),
            ("group", self._group, (_ROUTER, _GROUP)),
            ("draining", self._drains, (_ROUTER,)),
        )
        for method, handler, shapes in words:
            self.receiver.rpc(_believed(handler, shapes, f"luabus.{method}"), name=f"luabus.{method}")

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
            self._pages[link] = GroupPages()
            link.masters.clear()
            link.welcomed(facts["router"], facts["frame_limit"])
            for group in facts["groups"]:
                self._names(group)

    def _names(self, group: dict[str, Any]) -> None:
        link = self._speaker()
        if link is None:
            return
        number = group["group"]
        if group["name"]:
            self.groups[group["name"]] = number
        link.masters[number] = (group["master"], group["epoch"])
        self._believe(number)
        self.names.tell(group)
        self._news.notify()

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


def _believed(function: Callable[..., None], shapes: Sequence[Shape], name: str) -> Callable[..., None]:
    """`function` for what a router says, if it makes sense; else the link ends with a `ProtocolError`."""
    check_first = checked(function, shapes, name)

    def hear(*args: Any) -> None:
        try:
            if len(args) != len(shapes):
                raise BadArguments(f"{len(args)} arguments, not {len(shapes)}", method=name)
            check_first(*args)
        except BadArguments as error:
            call = current.get()
            if call is not None:
                call.stream.end(
                    ProtocolError(f"the router says {name} that makes no sense: {error}"), say=True
                )

    return hear
