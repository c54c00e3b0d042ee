"""What routers hold of a service id, whose connection that is, and the request that restores it after a change by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from dashboard.model.answers import Connection, Group
from dashboard.model.requests import RegisterRequest
from dashboard.model.snapshot import RouterState, Snapshot

Held = int | Literal["own"] | None
"""An entry as the token that would make it: 0 vacant, None absent, a number only for somebody else's connection."""


def meant(snapshot: Snapshot, router: str) -> list[RouterState]:
    """The routers that a change at `router` (`*`: all) reaches now."""
    return [one for one in snapshot.routers if one.connected and router in ("*", one.name)]


def connection(snapshot: Snapshot, router: str, token: int) -> Connection | None:
    return next((row for row in snapshot.connections if (row.router, row.token) == (router, token)), None)


def has_joined(snapshot: Snapshot, router: str, service_id: str) -> bool:
    """Whether a connection of this router says it is this id."""
    return any((row.router, row.service_id) == (router, service_id) for row in snapshot.connections)


def foreign(snapshot: Snapshot) -> Iterator[tuple[str, str, Connection]]:
    """Entries over the connection of another service: router, the entry's service id, and that connection.

    A client's connection is none: only by hand can one that has not joined serve an id at all.
    """
    rows = {(row.router, row.token): row for row in snapshot.connections if _is_service(row)}
    for router in snapshot.live_tables():
        for group in router.groups:
            for slot in group.slots:
                row = rows.get((router.name, slot.token))
                if row is not None and row.service_id != slot.service_id:
                    yield router.name, slot.service_id, row


def held(snapshot: Snapshot, router: RouterState, service_id: str) -> tuple[Held, bool]:
    """The entry at this router, and whether it is its group's master by hand."""
    group = group_at(router, service_id)
    slot = next((slot for slot in group.slots if slot.service_id == service_id), None) if group else None
    if group is None or slot is None:
        return None, False
    if slot.token == 0:
        return 0, False
    return _named(
        snapshot, router.name, slot.token, service_id
    ), not group.elected and group.master == service_id


def becomes(snapshot: Snapshot, router: RouterState, asked: RegisterRequest) -> tuple[Held, bool]:
    """The same, after what is asked."""
    if asked.token is None or asked.token == 0:
        return asked.token, False
    group = group_at(router, asked.service_id)
    token: Held = asked.token
    if isinstance(token, int):
        token = _named(snapshot, router.name, token, asked.service_id)
    return token, asked.is_master and not (group and group.elected)


def undo_of(snapshot: Snapshot, asked: RegisterRequest) -> RegisterRequest | None:
    """The request that restores what the snapshot shows; None when nothing would change, or when no single request can."""
    routers = meant(snapshot, asked.router)
    changed = [
        one for one in routers if held(snapshot, one, asked.service_id) != becomes(snapshot, one, asked)
    ]
    before = {held(snapshot, one, asked.service_id) for one in changed}
    if len(before) != 1 or len(changed) not in (1, len(routers)):
        return None
    where = changed[0].name if len(changed) < len(routers) else asked.router
    entry, master = before.pop()
    former = {_master_by_hand(one, asked.service_id) for one in changed}
    if asked.is_master and former != {None}:
        # Another was the master: naming that one again restores it, if the entry itself stays as it is.
        others = {(one, held(snapshot, router, one)[0]) for router in changed for one in former if one}
        kept = all(becomes(snapshot, one, asked)[0] == entry for one in changed)
        if len(former) != 1 or len(others) != 1 or not kept:
            return None
        ((service_id, token),) = others
        return (
            RegisterRequest(router=where, service_id=service_id, token=token, is_master=True)
            if token
            else None
        )
    return RegisterRequest(router=where, service_id=asked.service_id, token=entry, is_master=master)


def group_at(router: RouterState, service_id: str) -> Group | None:
    number = service_id.partition(".")[0]
    return next((group for group in router.groups if str(group.group) == number), None)


def _master_by_hand(router: RouterState, not_this: str) -> str | None:
    """The group's master, if it is another."""
    group = group_at(router, not_this)
    return group.master if group is not None and not group.elected and group.master != not_this else None


def _named(snapshot: Snapshot, router: str, token: int, service_id: str) -> Held:
    row = connection(snapshot, router, token)
    return "own" if row is None or row.service_id == service_id else token


def _is_service(row: Connection) -> bool:
    return row.service_id is not None and row.service_id[:1].isdigit()
