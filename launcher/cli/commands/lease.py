"""lease repair: the rows of the lease store, looked at and set right."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

import click

import luabus.admin
from launcher.cli.commands.bus import connected
from launcher.cli.commands.shared import as_json
from launcher.cli.terminal import Style, table
from launcher.config.load import load
from launcher.errors import LauncherError, NotRunning
from launcher.plan.plan import Plan, lease_url, make_plan
from luabus.ids import ServiceId
from luabus.lease import open_store
from luabus.lease.repair import Examined, is_sane, repair
from luabus.lease.stores.base import LeaseStoreError
from luabus.limits import EPOCH_LEAP, MAX_EPOCH
from luabus.visible import visible

LEFT: Final = frozenset({"wrong", "held", "changed"})
STATES: Final = {
    "right": "right",
    "wrong": "wrong: no election made this epoch",
    "held": "wrong, and renewed by its holder: stop the group, then repair it",
    "changed": "wrong, and changed in this moment: look again",
}


@click.group("lease")
def lease() -> None:
    """The store that elections are held by."""


@lease.command("repair")
@click.option("--epoch", type=click.IntRange(0, MAX_EPOCH - EPOCH_LEAP), help="Go on above this one.")
@click.option("--dry-run", is_flag=True, help="Only show what is there.")
@as_json
@click.pass_obj
def repair_lease(config: Path, epoch: int | None, dry_run: bool, as_json: bool) -> int:
    """Show each group's lease, and set right epochs that no election can have made.

    A row is written only when nobody holds it, or its holder has not renewed it for the lease's ttl: there is no master then who
    could lose it. It goes on above the highest epoch that the running routers have seen claimed; without routers at 1, unless
    --epoch says what masters have written elsewhere. Running candidates take it from there by themselves.

    Exit code 1: a row is wrong, and was left as it is.
    """
    plan = make_plan(load(config), config)
    url = lease_url(plan.config.lease.store, plan.run_dir, plan.base)

    async def work() -> tuple[str, list[Examined]]:
        known = await _known(config, plan)
        store = open_store(url, namespace=plan.name)
        try:
            found = await repair(store, known, plan.config.lease.ttl, epoch=epoch, dry_run=dry_run)
        finally:
            await store.close()
        return store.address, found

    try:
        address, found = asyncio.run(work())
    except LeaseStoreError as error:
        raise LauncherError(str(error)) from None
    names = {number: name for name, number in plan.groups.items()}
    if as_json:
        click.echo(json.dumps({"store": address, "groups": [_as_map(one, names) for one in found]}))
    else:
        click.echo(visible(f"lease store {address}"))
        click.echo(_as_text(found, names) if found else "no group has a lease in it")
    return 1 if any(one.state in LEFT for one in found) else 0


async def _known(config: Path, plan: Plan) -> dict[int, int]:
    """The highest epoch that a router has seen claimed, by group; 0 where none is told, or one that cannot be."""
    known = dict.fromkeys(plan.groups.values(), 0)
    try:
        async with connected(config) as (bus, _):
            tables = (await luabus.admin.routes(bus))["routers"]
    except NotRunning:
        return known
    for group in (group for router in tables for group in router["groups"]):
        if group["group"] in known and is_sane(group["epoch"], 0):
            known[group["group"]] = max(known[group["group"]], group["epoch"])
    return known


def _as_map(one: Examined, names: dict[int, str]) -> dict[str, Any]:
    return {
        "group": one.group, "name": names[one.group], "holder": _holder(one), "epoch": one.row.epoch, "seq": one.row.seq,
        "known": one.known, "state": one.state, "repaired_to": one.repaired_to,
    }  # fmt: skip


def _as_text(found: list[Examined], names: dict[int, str]) -> str:
    rows = [
        (
            names[one.group], _holder(one) or "nobody", str(one.row.epoch), str(one.known or "-"),
            STATES.get(one.state) or f"repaired: goes on above {one.repaired_to}",
        )
        for one in found
    ]  # fmt: skip
    return table(Style.of(sys.stdout), ("GROUP", "HOLDER", "EPOCH", "ROUTERS", "STATE"), rows, right=(2, 3))


def _holder(one: Examined) -> str | None:
    holder = one.row.holder
    return str(ServiceId(holder)) if type(holder) is int and holder > 0 else None
