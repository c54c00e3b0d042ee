"""What a router says about itself, in the shapes of the HTTP API. Pure: facts in, maps that travel out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Final

from luabus.ids import ServiceId
from luabus.protocol.codec import pack_value
from luabus.protocol.port import Port
from luabus.routing.table import Group, Table

GROUP_ROWS: Final = 1000
"""Entries of a table in one answer: few enough that those who are forwarded do not wait for it."""
GROUP_ROW_BYTES: Final = 640
"""Bytes of one of them at most, packed: a name may have 100 characters."""


def page_rows(asked: int, most: int, frame_limit: int, row_bytes: int) -> int:
    """Rows of one answer: as many as are asked for, and not more than `most` or than a frame takes. The one rule for whatever
    grows with what is configured or connected."""
    return max(1, min(asked, most, frame_limit // row_bytes))


def fitting(rows: Iterable[Any], size: int) -> list[Any]:
    """The first of these rows, as many as take no more than `size` bytes together."""
    shown = []
    for row in rows:
        size -= len(pack_value(row))
        if size < 0:
            break
        shown.append(row)
    return shown


def public_group(group: Group[Any]) -> dict[str, Any]:
    """What everybody is told about a group: its name, its usual route, its master."""
    master = group.master if group.master_at() is not None else 0
    return {
        "group": group.number,
        "name": group.name,
        "mode": group.mode,
        "master": int(master),
        "epoch": group.epoch,
    }


def full_group(group: Group[Port]) -> dict[str, Any]:
    """A group with all its entries. `token` 0 is a vacancy; `share`, if it is asked by key: the part of the keys, 0 to 1."""
    page = group_page(group, 0, len(group.ids))
    del page["after"], page["next"]
    return page


def group_page(group: Group[Port], after: int, most: int) -> dict[str, Any]:
    """A group with those of its entries whose ids are above `after`, at most `most`, and the id `next` to go on after; None
    behind the last. Costs what the page has, however large the group is."""
    name = group.name or str(group.number)
    names = {group.number: name}
    master = group.master if group.master_at() is not None else 0
    start = bisect_right(group.ids, after)
    ids = group.ids[start : start + most]
    shares = group.shares
    rows: list[dict[str, Any]] = []
    for service_id in ids:
        where = group.entries[service_id].where
        row = {
            "service_id": str(ServiceId(service_id)),
            "name": ServiceId(service_id).named(names),
            "token": where.token if where is not None else 0,
        }
        if shares is not None:
            row["share"] = round(shares.get(service_id, 0.0), 4)
        rows.append(row)
    return {
        "group": group.number,
        "name": name,
        "mode": group.mode,
        "master": str(ServiceId(master)) if master else None,
        "elected": group.elected,
        "epoch": group.epoch,
        "digest": f"{group.digest:08x}",
        "slots": rows,
        "after": after,
        "next": ids[-1] if start + most < len(group.ids) else None,
    }


def table_page(router: str, table: Table[Port], after: int, most: int) -> dict[str, Any]:
    """One page of a router's table: its groups in order, with at most `most` rows (a group is one as well, at least one is given)
    beyond the id `after`; `next` as in `group_page`."""
    groups: list[dict[str, Any]] = []
    upto: int | None = None
    for number, group in sorted(table.groups.items()):
        begins = number << 16
        begun = after >= begins
        if begun and (number < after >> 16 or not group.ids or group.ids[-1] <= after):
            continue
        if groups and most < 2:
            upto = groups[-1]["group"] << 16 | 0xFFFF
            break
        page = group_page(group, after if begun else 0, max(1, most - 1))
        most -= 1 + len(page["slots"])
        upto = page.pop("next")
        del page["after"]
        groups.append(page)
        if upto is not None:
            break
    return {"router": router, "digest": f"{table.digest():08x}", "groups": groups, "next": upto}


def join_pages(pages: list[dict[str, Any]]) -> dict[str, Any]:
    """The table whose pages these are, in order. A group that changed between two of them is told as the last one has it."""
    groups: dict[int, dict[str, Any]] = {}
    for page in pages:
        for group in page["groups"]:
            known = groups.get(group["group"])
            slots = [*(known["slots"] if known else ()), *group["slots"]]
            groups[group["group"]] = {**group, "slots": slots}
    table = {**pages[-1], "groups": list(groups.values())}
    table.pop("next", None)
    return table


class GroupPages:
    """The pages of groups that a router tells to those who watch it, put together. One watcher and router has one."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[int, list[dict[str, Any]]] = {}

    def add(self, page: dict[str, Any]) -> dict[str, Any] | None:
        """Take the next page of a group; the whole group, when it was the last."""
        number = page["group"]
        if not page["after"]:
            self._pages[number] = []
        pages = self._pages.setdefault(number, [])
        if page["after"] and (not pages or pages[-1]["next"] != page["after"]):
            return None  # we came in the middle: the whole is about to follow
        pages.append(page)
        if page["next"] is not None:
            return None
        del self._pages[number]
        slots = [slot for each in pages for slot in each["slots"]]
        whole = {**page, "slots": slots}
        del whole["after"], whole["next"]
        return whole


def merge_routes(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """The routing tables of all routers, and whether they agree in everything but their tokens. Two of one name do not: which of
    them is meant nobody can say."""
    names = [str(table["router"]) for table in tables]
    views = [
        {
            group["group"]: (
                group["master"], group["epoch"],
                tuple((slot["service_id"], slot["token"] != 0) for slot in group["slots"]),
            )
            for group in table["groups"]
            if group["slots"]
        }
        for table in tables
    ]  # fmt: skip
    return {
        "consistent": len(set(names)) == len(names) and all(view == views[0] for view in views[1:]),
        "routers": sorted(tables, key=lambda table: str(table["router"])),
    }
