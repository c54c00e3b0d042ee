"""What a router says about itself, in the shapes of the HTTP API. Pure: facts in, maps that travel out."""

from __future__ import annotations

from typing import Any

from luabus.ids import ServiceId
from luabus.protocol.port import Port
from luabus.routing.table import Group


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
    """A group with all its entries, as `luabus.routes` and `luabus.group` (for those who watch) give it.

    `slot` is the index in the hash array, None for instances beyond the slots; `token` 0 is a vacant slot.
    """
    name = group.name or str(group.number)
    names = {group.number: name}
    slot_of = {service_id: index for index, service_id in enumerate(group.slot_ids)}
    master = group.master if group.master_at() is not None else 0
    return {
        "group": group.number,
        "name": name,
        "mode": group.mode,
        "master": str(ServiceId(master)) if master else None,
        "elected": group.elected,
        "epoch": group.epoch,
        "digest": f"{group.digest:08x}",
        "slots": [
            {
                "service_id": str(ServiceId(service_id)),
                "name": ServiceId(service_id).named(names),
                "token": entry.where.token if entry.where is not None else 0,
                "slot": slot_of.get(service_id),
            }
            for service_id, entry in sorted(group.entries.items())
        ],
    }


def merge_routes(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """The routing tables of all routers, and whether they agree in everything but their tokens."""
    views = [
        {
            group["group"]: (
                group["master"], group["epoch"],
                tuple((slot["service_id"], slot["token"] != 0, slot["slot"]) for slot in group["slots"]),
            )
            for group in table["groups"]
            if group["slots"]
        }
        for table in tables
    ]  # fmt: skip
    return {
        "consistent": all(view == views[0] for view in views[1:]),
        "routers": sorted(tables, key=lambda table: str(table["router"])),
    }
