"""The leases of a cluster's groups as they lie in the store, for whoever shows them or sets them right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from luabus.ids import ServiceId
from luabus.lease import open_store
from luabus.lease.repair import Examined, is_sane, repair
from luabus.limits import EPOCH_LEAP, MAX_EPOCH

HIGHEST_GIVEN = MAX_EPOCH - EPOCH_LEAP
"""An epoch that somebody gives by hand is not above this one."""


def known_epochs(groups: Iterable[int], tables: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """The highest epoch that a router has seen claimed, by group; 0 where none is told, or one that cannot be. `tables` as in
    `admin.routes`."""
    known = dict.fromkeys(groups, 0)
    for group in (group for table in tables for group in table["groups"]):
        if group["group"] in known and is_sane(group["epoch"], 0):
            known[group["group"]] = max(known[group["group"]], group["epoch"])
    return known


async def repair_leases(
    url: str,
    cluster: str,
    groups: Mapping[str, int],
    ttl_s: float,
    tables: Iterable[Mapping[str, Any]],
    *,
    epoch: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Look at the rows of `groups` (name to number) in the cluster's store, and set right those that are wrong; see
    `luabus.lease.repair`.

    `{"store": address, "groups": [{"group", "name", "holder", "epoch", "seq", "known", "state", "repaired_to"}]}`. Raises
    `LuabusError` when the store cannot be reached, `ConfigError` for a URL that is none.
    """
    store = open_store(url, namespace=cluster)
    try:
        found = await repair(
            store, known_epochs(groups.values(), tables), ttl_s, epoch=epoch, dry_run=dry_run
        )
    finally:
        await store.close()
    names = {number: name for name, number in groups.items()}
    return {"store": store.address, "groups": [_as_map(one, names[one.group]) for one in found]}


def _as_map(one: Examined, name: str) -> dict[str, Any]:
    holder = one.row.holder
    return {
        "group": one.group,
        "name": name,
        "holder": str(ServiceId(holder)) if type(holder) is int and holder > 0 else None,
        "epoch": one.row.epoch,
        "seq": one.row.seq,
        "known": one.known,
        "state": one.state,
        "repaired_to": one.repaired_to,
    }
