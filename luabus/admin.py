"""What an administrator asks and does, over all routers: one implementation for command line, HTTP and pages."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from luabus.client.bus import Bus
from luabus.errors import (
    ConnectionLost,
    Forbidden,
    LuabusError,
    NoMaster,
    NoRoute,
    NotConnected,
    Refused,
    RequestTimeout,
)
from luabus.ids import ServiceId, did_you_mean
from luabus.limits import REQUEST_TIMEOUT_S
from luabus.messages import Message
from luabus.routing.views import join_pages, merge_routes

T = TypeVar("T")

DONE, NOTHING, AWAY, LATE = "done", "nothing to remove", "not connected", "no answer in time"
"""What `register` says of a router. One that is late has perhaps done it, or does when it goes on."""


async def routes(bus: Bus) -> dict[str, Any]:
    """`{"consistent": bool, "routers": [...]}`: every reachable router's table, and whether they agree.

    Raises `NotConnected` when no router answers.
    """
    return merge_routes(await _of_all(bus, _table_of))


def of_tables(routers: list[dict[str, Any]]) -> dict[str, Any]:
    """As `routes` answers, of these tables or parts of them: whether they agree is looked at anew."""
    return merge_routes(routers)


async def connections(bus: Bus) -> list[dict[str, Any]]:
    """One row per connection at every reachable router."""
    return [row for rows in await _of_all(bus, _connections_of) for row in rows]


async def stats(bus: Bus) -> list[dict[str, Any]]:
    """Each reachable router's totals, alarms and recently closed connections."""
    return sorted(await _of_all(bus, _stats_of), key=lambda row: str(row["router"]))


async def close_connection(bus: Bus, router: str, token: int) -> str:
    """End one connection of one router; returns its name."""
    name: str = await bus.router(_one_router(bus, router)).request("luabus.close", token)
    return name


async def register(
    bus: Bus,
    service_id: int | str,
    token: int | str | None,
    is_master: bool = False,
    router: str = "*",
    *,
    timeout: float = REQUEST_TIMEOUT_S,
) -> dict[str, str]:
    """Change the routing table by hand, at one router or at all (`"*"`); returns `{router: what became of it there}`: `DONE`,
    `NOTHING`, `AWAY` or `LATE`, of every router that was meant.

    `token`: a connection's token at that router, 0 for a vacancy, None to remove, `"own"` for the connection that has joined
    as this id. Tokens differ between routers: with `"*"` a number must name the same peer's connection at each of them.
    Raises `Refused` with the reason; nothing is changed then at any router unless the message says so; and `NotConnected` or
    `RequestTimeout` when no router has answered.
    """
    target = ServiceId.parse_service(service_id, bus.groups)
    if not target.group >= 1:
        raise Refused.coded(Message("refusal.router-is-not-registered", name=str(target)))
    connected = [link.name for link in bus.routers if link.connected]
    if not connected:
        raise NotConnected("no router is connected", routers=[link.address for link in bus.routers])
    meant = [link.name for link in bus.routers] if router == "*" else [_one_router(bus, router)]
    said = {name: DONE if name in connected else AWAY for name in meant}
    if token is None:
        holders = await _holders(bus, target)
        said |= dict.fromkeys((name for name in meant if said[name] == DONE and name not in holders), NOTHING)
    names = [name for name in meant if said[name] == DONE]
    if len(names) > 1 and isinstance(token, int) and token > 0:
        await _check_same_peer(bus, names, token)
    results = await asyncio.gather(
        *(
            bus.router(name).request("luabus.register", int(target), token, is_master, timeout=timeout)
            for name in names
        ),
        return_exceptions=True,
    )
    failed = {
        name: result for name, result in zip(names, results, strict=True) if isinstance(result, BaseException)
    }
    unanswered = {
        name: error
        for name, error in failed.items()
        if isinstance(error, RequestTimeout | ConnectionLost | NotConnected)
    }
    done = [name for name in names if name not in failed]
    refused = [error for name, error in failed.items() if name not in unanswered]
    if refused or (failed and not done and NOTHING not in said.values()):
        first = [*refused, *failed.values()][0]
        if not isinstance(first, LuabusError):
            raise first
        if not done and len({*map(str, failed.values())}) == 1:
            raise first
        suffix = f" (done at {', '.join(done)})" if done else ""
        raise type(first)("; ".join(dict.fromkeys(map(str, failed.values()))) + suffix)
    return said | dict.fromkeys(unanswered, LATE)


async def promote(bus: Bus, service_id: int | str, *, by: str = "", timeout: float = 15.0) -> dict[str, Any]:
    """Make this instance its group's master: the present holder hands its lease over. Waits until all routers know.

    Raises `NoRoute` when the instance is not there, `NoMaster` when nobody holds the lease, `Refused` when the group elects no
    master, `RequestTimeout` when it was not taken over in time.
    """
    target = ServiceId.parse(service_id, bus.groups)
    label = target.named(bus.names)
    master, epoch = bus.masters.get(target.group, (0, 0))
    if master == target:
        return {"master": str(target), "epoch": epoch, "changed": False}
    if not epoch:
        group = bus.names.get(target.group, str(target.group))
        raise Refused.coded(Message("refusal.group-elects-no-master", group=group, name=label))
    if not master:
        raise NoMaster(
            f"group {bus.names.get(target.group, target.group)} has no master that could hand over",
            group=target.group,
        )
    await _at_a_router(bus, "luabus.promote", int(target), by, timeout=timeout)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        revision = bus.news.revision
        tables = (await routes(bus))["routers"]
        found = {(g["master"], g["epoch"]) for t in tables for g in t["groups"] if g["group"] == target.group}
        if {master for master, _ in found} == {str(target)}:
            return {"master": str(target), "epoch": max(epoch for _, epoch in found), "changed": True}
        await bus.news.wait(
            revision, max(0.0, deadline - loop.time()), f"{label} did not become master in time"
        )


async def methods(bus: Bus, group: int, *, timeout: float = REQUEST_TIMEOUT_S) -> dict[ServiceId, Any]:
    """The methods of every live instance of a group, as the routers are told them; for one that does not tell, the error."""
    table = await _at_a_router(bus, "luabus.routes", timeout=timeout)
    slots = [slot for shown in table["groups"] if shown["group"] == group for slot in shown["slots"]]
    live = [ServiceId.parse(slot["service_id"]) for slot in slots if slot["token"]]
    found = await asyncio.gather(
        *(_at_a_router(bus, "luabus.ask", int(one), "methods", timeout, timeout=timeout) for one in live),
        return_exceptions=True,
    )
    for answer in found:
        if isinstance(answer, BaseException) and not isinstance(answer, LuabusError):
            raise answer
    return dict(zip(live, found, strict=True))


async def _at_a_router(bus: Bus, word: str, *args: Any, timeout: float) -> Any:
    """Ask the preferred router, and the others where it does not know the way."""
    names = [link.name for link in bus.routers if link.connected]
    names.sort(key=lambda name: name != bus.preferred_router)
    failure: LuabusError | None = None
    for name in names:
        try:
            return await bus.router(name).request(word, *args, timeout=timeout)
        except (NoRoute, NoMaster, NotConnected) as error:
            failure = failure or error
    raise failure or NotConnected("no router is connected", routers=[link.address for link in bus.routers])


async def _holders(bus: Bus, target: ServiceId) -> set[str]:
    """The routers whose tables have an entry of this id."""
    return {
        str(table["router"])
        for table in (await routes(bus))["routers"]
        if any(slot["service_id"] == str(target) for group in table["groups"] for slot in group["slots"])
    }


async def _table_of(bus: Bus, router: str) -> dict[str, Any]:
    pages = [await bus.router(router).request("luabus.routes")]
    while pages[-1]["next"] is not None:
        pages.append(await bus.router(router).request("luabus.routes", pages[-1]["next"]))
    return join_pages(pages)


async def _stats_of(bus: Bus, router: str) -> dict[str, Any]:
    stats: dict[str, Any] = await bus.router(router).request("luabus.stats")
    return stats


async def _connections_of(bus: Bus, router: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        page = await bus.router(router).request("luabus.connections", rows[-1]["token"] if rows else 0)
        if not page:
            return rows
        rows += page


async def _of_all(bus: Bus, ask: Callable[[Bus, str], Awaitable[T]]) -> list[T]:
    """What each connected router answers; of those that do. Raises `NotConnected` when none does, `Forbidden` when that
    is why."""
    links = [link for link in bus.routers if link.connected]
    answers = await asyncio.gather(*(ask(bus, link.address) for link in links), return_exceptions=True)
    good = [answer for answer in answers if not isinstance(answer, BaseException)]
    if not good:
        for answer in answers:
            if isinstance(answer, Forbidden):
                raise answer
        reasons = "; ".join(f"{link.name}: {link.last_error or 'not connected'}" for link in bus.routers)
        raise NotConnected(f"no router answers ({reasons})", routers=[link.address for link in bus.routers])
    return good


def _one_router(bus: Bus, name: str) -> str:
    known = {link.name: link for link in bus.routers}
    if name not in known:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = did_you_mean(close[0]) if close else Message("hint.routers", names=", ".join(known))
        raise Refused.coded(Message("refusal.no-such-router", name=repr(name), hint=hint))
    if not known[name].connected:
        raise NotConnected(
            f"{name} is not connected: {known[name].last_error}", routers=[known[name].address]
        )
    return name


async def _check_same_peer(bus: Bus, names: list[str], token: int) -> None:
    rows = await connections(bus)
    owners = {row["router"]: row["name"] for row in rows if row["token"] == token}
    if len(owners) == len(names) and len(set(owners.values())) == 1:
        return
    if not owners:
        raise Refused.coded(Message("refusal.no-such-token-anywhere", token=token))
    where = ", ".join(f"{name}: {owners.get(name, 'nobody')}" for name in names)
    raise Refused.coded(Message("refusal.token-differs", token=token, where=where))
