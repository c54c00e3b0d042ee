"""What a change of the tables or a request would do, told in this cluster's terms before it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from luabus.cluster import entries
from luabus.cluster.entries import Registration
from luabus.cluster.key_moves import moving, name_in
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import GroupState, Slot
from luabus.errors import Refused
from luabus.messages import Message
from luabus.protocol.hashing import hash_key, key_of

Preview = tuple[Message, list[Message], bool]
"""Title, sentences, and whether it is dangerous."""


def group_of(snapshot: Snapshot, service_id: str) -> GroupState | None:
    number = service_id.partition(".")[0]
    return next((group for group in snapshot.groups() if str(group.group) == number), None)


def slot_of(snapshot: Snapshot, service_id: str) -> Slot | None:
    group = group_of(snapshot, service_id)
    return next((slot for slot in group.slots if slot.service_id == service_id), None) if group else None


def name_of(snapshot: Snapshot, service_id: str) -> str:
    """`mail.2` for `2.2`: from the tables, else from the group's name, else the id itself."""
    group = group_of(snapshot, service_id)
    return name_in(group, service_id) if group else service_id


def of_register(snapshot: Snapshot, change: Registration) -> Preview:
    """Register, vacate, remove, or name the master."""
    name = name_of(snapshot, change.service_id)
    group = group_of(snapshot, change.service_id)
    if change.is_master:
        title = Message("effect.make-the-master", name=name)
    elif change.token is None:
        title = Message("effect.remove-from-the-routing-table", name=name)
    elif change.token == 0:
        title = Message("effect.make-the-entry-of-vacant", name=name)
    else:
        title = Message("effect.register", name=name)
    sentences = list(_register_sentences(snapshot, change, name, group))
    apart = _apart(snapshot, change)
    if apart:
        sentences.append(
            Message(
                "effect.only-changes-the-routers-disagree-until",
                router=change.router,
            )
        )
    silent = [one.name for one in snapshot.routers if not one.connected and change.router in ("*", one.name)]
    sentences += [Message("effect.does-not-answer-nothing-is-changed", router=router) for router in silent]
    danger = change.is_master or change.token != "own" or apart or bool(silent)
    return title, sentences, danger


def _apart(snapshot: Snapshot, change: Registration) -> bool:
    """Whether the one router that changes then has another entry than the others."""
    if change.router == "*":
        return False
    after = {entries.becomes(snapshot, one, change) for one in entries.meant(snapshot, change.router)}
    others = {
        entries.held(snapshot, one, change.service_id)
        for one in entries.meant(snapshot, "*")
        if one.name != change.router
    }
    return bool(others) and others != after


def _register_sentences(
    snapshot: Snapshot, change: Registration, name: str, group: GroupState | None
) -> Iterator[Message]:
    slot = slot_of(snapshot, change.service_id)
    if change.token == 0:
        if slot is None:
            yield Message("effect.has-no-entry-yet-a-vacant", name=name)
        elif slot.token == 0:
            yield Message("effect.it-is-so-already-nothing-changes")
        else:
            yield from without(name, group, slot)
    elif change.token is None:
        yield from _removed(name, group, slot)
    else:
        yield from _over_a_connection(snapshot, change, name, group, slot)
        yield from _master_by_hand(snapshot, change, name, group)


def _removed(name: str, group: GroupState | None, slot: Slot | None) -> Iterator[Message]:
    if slot is None or group is None:
        yield Message("effect.has-no-entry-nothing-changes", name=name)
        return
    yield from keys(group, {slot.service_id})
    yield Message("effect.messages-to-answer-noroute-it-takes", name=name)
    yield from masterless(name, group, slot.service_id)


def _over_a_connection(
    snapshot: Snapshot, change: Registration, name: str, group: GroupState | None, slot: Slot | None
) -> Iterator[Message]:
    """The entry becomes live: over its own connection, or over that of a token."""
    routers = entries.meant(snapshot, change.router)
    if change.token == "own":
        without_it = [r.name for r in routers if not entries.has_joined(snapshot, r.name, change.service_id)]
        if without_it:
            yield Message(
                "effect.no-connection-at-says",
                routers=", ".join(without_it),
                name=name,
            )
            return
    else:
        whose = whose_token(snapshot, change)
        yield Message("effect.token-is-the-connection", token=change.token, who=whose)
        if whose != name:
            yield Message("effect.what-is-sent-to-goes", name=name, who=whose)
            return
    if group is not None and (slot is None or slot.token == 0):
        message = moving(group, back=[change.service_id])
        if message is not None:
            yield message
    if slot is None:
        yield Message("effect.messages-to-go-to-that-connection", name=name)
    elif slot.token == 0:
        yield Message("effect.messages-to-reach-it-again", name=name)
    elif all(
        entries.held(snapshot, one, change.service_id) == entries.becomes(snapshot, one, change)
        for one in routers
    ):
        yield Message("effect.it-is-so-already-nothing-changes")
    elif not change.is_master:
        yield Message("effect.messages-to-go-to-that-connection", name=name)


def _master_by_hand(
    snapshot: Snapshot, change: Registration, name: str, group: GroupState | None
) -> Iterator[Message]:
    if group is None:
        return
    if change.is_master and group.elected:
        yield Message(
            "effect.group-elects-its-master-by-lease",
            group=group.name,
        )
    elif change.is_master and group.master not in (None, change.service_id):
        yield Message("effect.it-takes-the-place", old=name_of(snapshot, group.master or ""))
    elif not change.is_master and group.master == change.service_id and not group.elected:
        yield Message("effect.is-the-master-of-no-longer", name=name, group=group.name)


def whose_token(snapshot: Snapshot, change: Registration) -> str:
    """Who is at the other end of the connection that is asked for. Raises `Refused` as the routers do."""
    assert isinstance(change.token, int)
    routers = [one.name for one in entries.meant(snapshot, change.router)]
    rows = {router: entries.connection(snapshot, router, change.token) for router in routers}
    found = {router: row.name or row.peer for router, row in rows.items() if row is not None}
    if routers and not found:
        if len(routers) > 1:
            refusal = Message(
                "effect.no-router-has-a-connection",
                token=change.token,
            )
        else:
            refusal = Message(
                "effect.has-no-connection-with-token-see",
                router=routers[0],
                token=change.token,
            )
        raise Refused.coded(refusal)
    if len(set(found.values())) > 1 or len(found) < len(routers):
        raise Refused.coded(
            Message(
                "effect.token-is-not-the-same-connection",
                token=change.token,
                where=", ".join(f"{router}: {found.get(router, '–')}" for router in routers),
            )
        )
    return next(iter(found.values()), "")


def keys(group: GroupState, away: Collection[str]) -> Iterator[Message]:
    """What becomes of the keys of these service ids while they are away."""
    gone = [slot for slot in group.live if slot.service_id in away]
    message = moving(group, away)
    if message is not None:
        yield message
    elif gone and len(gone) == len(group.live):
        yield Message("effect.nobody-else-is-live-in-group", group=group.name)


def without(name: str, group: GroupState | None, slot: Slot | None) -> Iterator[Message]:
    """What happens while this entry is vacant."""
    if slot is None or group is None:
        return
    yield from keys(group, {slot.service_id})
    yield from unreachable(name, group, slot.service_id)


def unreachable(name: str, group: GroupState, service_id: str) -> Iterator[Message]:
    """What those get who call this very instance, or it as the master."""
    yield Message("effect.messages-to-answer-noroute-until", name=name)
    yield from masterless(name, group, service_id)


def masterless(name: str, group: GroupState, service_id: str) -> Iterator[Message]:
    if group.master == service_id:
        yield Message(
            "effect.is-the-master-of-calls",
            name=name,
            group=group.name,
        )


def of_promote(snapshot: Snapshot, service_id: str) -> Preview:
    """Raises `Refused` as `luabus.admin` does, in a group that elects no master."""
    name = name_of(snapshot, service_id)
    title = Message("effect.promote-to-master", name=name)
    group = group_of(snapshot, service_id)
    if group is None or not group.elects:
        raise Refused.coded(
            Message(
                "effect.group-elects-no-master-register",
                group=group.name if group else service_id.partition(".")[0],
                name=name,
            )
        )
    if group.master == service_id:
        return title, [Message("effect.is-the-master-already-nothing-changes", name=name)], False
    if group.master is None:
        return (
            title,
            [Message("effect.has-no-master-that-could-hand", group=group.name)],
            True,
        )
    slot = slot_of(snapshot, service_id)
    if slot is None or not slot.token:
        return title, [Message("effect.is-not-registered-this-is-answered", name=name)], True
    given = Message(
        "effect.gives-up-the-lease",
        old=name_of(snapshot, group.master),
        group=group.name,
        name=name,
    )
    return title, [given, Message("effect.calls-to-the-master-fail")], True


def routed_to(snapshot: Snapshot, route: str) -> tuple[GroupState | None, list[str]]:
    """Of a route: its group, and by the tables the names of those to whom it leads now; only a broadcast reaches them all."""
    kind, _, rest = route.partition(":")
    wanted, _, key = rest.partition(":") if kind == "hash" else (rest, "", "")
    groups = snapshot.groups()
    if kind == "target":
        if wanted in [router.name for router in snapshot.routers]:
            return None, [wanted]
        for group in groups:
            for slot in group.slots:
                if wanted in (slot.name, slot.service_id):
                    return group, [slot.name] if slot.token else []
        return None, []
    found = next((one for one in groups if wanted in (str(one.group), one.name)), None)
    live = [slot for slot in found.slots if slot.token] if found else []
    if found is not None and kind == "master":
        live = [slot for slot in live if slot.service_id == found.master]
    elif found is not None and kind == "hash":
        live = [slot for slot in found.line(hash_key(key_of(key))) if slot.token][:1]
    return found, [slot.name for slot in live]


def of_call(snapshot: Snapshot, route: str, method: str, *, one_way: bool) -> Preview:
    """Who would get a request."""
    title = Message("effect.send-to", method=method, route=route)
    group, names = routed_to(snapshot, route)
    kind = route.partition(":")[0]
    if not names:
        effect = nobody(snapshot, route, group, one_way=one_way)
    elif group is None or kind in ("target", "hash"):
        effect = Message("effect.gets-it", name=names[0])
    elif kind == "broadcast":
        effect = Message("effect.every-live-instance-of-gets", group=group.name, count=len(names))
    elif kind == "random":
        effect = Message("effect.one-of-the-live-instances", group=group.name, count=len(names))
    else:
        effect = Message("effect.the-master-gets", name=names[0])
    return title, [effect], False


def nobody(snapshot: Snapshot, route: str, group: GroupState | None, *, one_way: bool) -> Message:
    """What becomes of a request that by the tables leads nowhere."""
    if not snapshot.routed:
        return Message("effect.no-router-answers-nothing-can")
    masterless = route.startswith("master:") and group is not None and group.master is None
    if group is not None and masterless:
        if one_way:
            return Message("effect.has-no-master-now-nobody-gets", group=group.name)
        return Message("effect.has-no-master-now", group=group.name)
    if one_way:
        return Message("effect.nobody-is-there-now-nobody-gets")
    return Message("effect.nobody-is-there-it-is-answered")


def unanswered(snapshot: Snapshot, route: str, method: str, timeout_s: float) -> Message:
    """Nobody answered in time: how long that was, and who was asked, as far as one can know."""
    group, names = routed_to(snapshot, route)
    who: Message | str = route
    if group is not None and route.startswith(("random:", "broadcast:")):
        who = Message("effect.an-instance", group=group.name, names=", ".join(names))
    elif names:
        who = names[0]
    return Message(
        "effect.no-answer-within-s",
        seconds=f"{timeout_s:g}",
        who=who,
        method=method,
        route=route,
    )
