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
from launcher.cli.usage_errors import VerbGroup
from launcher.config.load import load
from launcher.errors import LauncherError, NotRunning
from launcher.plan.plan import lease_url, make_plan
from launcher.processes.service_leases import is_made, stores
from luabus.cluster.leases import HIGHEST_GIVEN, repair_leases
from luabus.errors import LuabusError
from luabus.visible import visible, visible_values

LEFT: Final = {
    "wrong": "wrong: no election made this epoch",
    "held": "wrong, and renewed by its holder: stop the group, then repair it",
    "changed": "wrong, and changed in this moment: look again",
}


@click.group("lease", cls=VerbGroup, subcommand_metavar="repair")
def lease() -> None:
    """Look at the store by which masters are elected.

    docs/masters.md says what its rows mean, which epochs are believed, and what heals by itself.
    """


@lease.command("repair")
@click.option("--epoch", type=click.IntRange(0, HIGHEST_GIVEN), help="Go on above this one.")
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

    users = {name: plan.config.services[name].user for name in plan.groups}
    named = {name: None if user is None else str(user) for name, user in users.items()}
    where = {
        store: names
        for store, names in stores(url, plan.run_dir, named).items()
        if store == url or (names and is_made(store))
    }

    async def work() -> dict[str, Any]:
        tables = await _tables(config)
        ttl_s = plan.config.lease.ttl
        found = [
            await repair_leases(
                store,
                plan.name,
                {name: plan.groups[name] for name in services},
                ttl_s,
                tables,
                epoch=epoch,
                dry_run=dry_run,
            )
            for store, services in where.items()
        ]
        return {
            **found[0],
            "store": ", ".join(one["store"] for one in found),
            "groups": [row for one in found for row in one["groups"]],
        }

    try:
        found = asyncio.run(work())
    except LuabusError as error:
        raise LauncherError(str(error)) from None
    ok = not any(row["state"] in LEFT for row in found["groups"])
    click.echo(json.dumps({"ok": ok, **found}) if as_json else _as_text(visible_values(found)))
    return 0 if ok else 1


async def _tables(config: Path) -> list[dict[str, Any]]:
    """What the routers tell; nothing where none runs."""
    try:
        async with connected(config) as (bus, _):
            tables: list[dict[str, Any]] = (await luabus.admin.routes(bus))["routers"]
            return tables
    except NotRunning:
        return []


def _as_text(found: dict[str, Any]) -> str:
    head = visible(f"lease store {found['store']}")
    if not found["groups"]:
        return f"{head}\nno group has a lease in it"
    rows = [
        (row["name"], row["holder"] or "nobody", str(row["epoch"]), str(row["known"] or "-"), _state(row))
        for row in found["groups"]
    ]
    heads = ("GROUP", "HOLDER", "EPOCH", "ROUTERS", "STATE")
    return f"{head}\n{table(Style.of(sys.stdout), heads, rows, right=(2, 3))}"


def _state(row: dict[str, Any]) -> str:
    if row["state"] == "repaired":
        return f"repaired: goes on above {row['repaired_to']}"
    return LEFT.get(row["state"], str(row["state"]))
