"""What routers hold of a service id, whose connection that is, and the request that restores it after a change by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from luabus.cluster.snapshot import RouterState, Snapshot
from luabus.cluster.state import ConnectionState

Held = int | Literal["own"] | None
"""An entry as the token that would make it: 0 vacant, None absent, a number only for somebody else's connection."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A change of the tables by hand: at one router or, with `*`, at all. `token`: of a live connection; 0 keeps a vacancy;
    None removes the entry; `own`: at each router the connection that says it is this id."""

    service_id: str
    token: Held
    router: str = "*"
    is_master: bool = False


def meant(snapshot: Snapshot, router: str) -> list[RouterState]:
    """The routers that a change at `router` (`*`: all) reaches now."""
    return [one for one in snapshot.routers if one.connected and router in ("*", one.name)]


def connection(snapshot: Snapshot, router: str, token: int) -> ConnectionState | None:
    return next((row for row in snapshot.connections if (row.router, row.token) == (router, token)), None)


def has_joined(snapshot: Snapshot, router: str, service_id: str) -> bool:
    """Whether a connection of this router says it is this id."""
    return any((row.router, row.service_id) == (router, service_id) for row in snapshot.connections)


def foreign(snapshot: Snapshot) -> Iterator[tuple[str, str, ConnectionState]]:
    """Entries over the connection of another service: router, the entry's service id, and that connection.

    A client's connection is none: only by hand can one that has not joined serve an id at all.
    """
    rows = {(row.router, row.token): row for row in snapshot.connections if row.of_a_service}
    for router in snapshot.live_tables():
        for group in router.groups:
            for slot in group.slots:
                row = rows.get((router.name, slot.token))
                if row is not None and row.service_id != slot.service_id:
                    yield router.name, slot.service_id, row


def held(snapshot: Snapshot, router: RouterState, service_id: str) -> tuple[Held, bool]:
    """The entry at this router, and whether it is its group's master by hand."""
    group = router.group(_number(service_id))
    slot = next((slot for slot in group.slots if slot.service_id == service_id), None) if group else None
    if group is None or slot is None:
        return None, False
    if slot.token == 0:
        return 0, False
    return _named(
        snapshot, router.name, slot.token, service_id
    ), not group.elected and group.master == service_id


def becomes(snapshot: Snapshot, router: RouterState, change: Registration) -> tuple[Held, bool]:
    """The same, after what is change."""
    if change.token is None or change.token == 0:
        return change.token, False
    group = router.group(_number(change.service_id))
    token: Held = change.token
    if isinstance(token, int):
        token = _named(snapshot, router.name, token, change.service_id)
    return token, change.is_master and not (group and group.elected)


def undo_of(snapshot: Snapshot, change: Registration) -> Registration | None:
    """The request that restores what the snapshot shows; None when nothing would change, or when no single request can."""
    routers = meant(snapshot, change.router)
    changed = [
        one for one in routers if held(snapshot, one, change.service_id) != becomes(snapshot, one, change)
    ]
    before = {held(snapshot, one, change.service_id) for one in changed}
    if len(before) != 1 or len(changed) not in (1, len(routers)):
        return None
    where = changed[0].name if len(changed) < len(routers) else change.router
    entry, master = before.pop()
    former = {_master_by_hand(one, change.service_id) for one in changed}
    if change.is_master and former != {None}:
        # Another was the master: naming that one again restores it, if the entry itself stays as it is.
        others = {(one, held(snapshot, router, one)[0]) for router in changed for one in former if one}
        kept = all(becomes(snapshot, one, change)[0] == entry for one in changed)
        if len(former) != 1 or len(others) != 1 or not kept:
            return None
        ((service_id, token),) = others
        return (
            Registration(router=where, service_id=service_id, token=token, is_master=True) if token else None
        )
    return Registration(router=where, service_id=change.service_id, token=entry, is_master=master)


def _number(service_id: str) -> int:
    return int(service_id.partition(".")[0])


def _master_by_hand(router: RouterState, not_this: str) -> str | None:
    """The group's master, if it is another."""
    group = router.group(_number(not_this))
    return group.master if group is not None and not group.elected and group.master != not_this else None


def _named(snapshot: Snapshot, router: str, token: int, service_id: str) -> Held:
    row = connection(snapshot, router, token)
    return "own" if row is None or row.service_id == service_id else token
