"""What a change of the tables or a request would do, said in this cluster's terms before it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dashboard.model.answers import Group, Slot
from dashboard.model.requests import CallRequest, RegisterRequest
from dashboard.model.snapshot import Snapshot
from dashboard.views import entries
from dashboard.views.routing_tables import hash_slots, place
from luabus import hash_key, key_of
from luabus.errors import Refused
from luabus.messages import Message

Said = tuple[Message, list[Message], bool]
"""Title, sentences, and whether it is dangerous."""


def group_of(snapshot: Snapshot, service_id: str) -> Group | None:
    number = service_id.partition(".")[0]
    return next((group for group in snapshot.groups() if str(group.group) == number), None)


def slot_of(snapshot: Snapshot, service_id: str) -> Slot | None:
    group = group_of(snapshot, service_id)
    return next((slot for slot in group.slots if slot.service_id == service_id), None) if group else None


def name_of(snapshot: Snapshot, service_id: str) -> str:
    """`mail.2` for `2.2`: from the tables, else from the group's name, else the id itself."""
    slot = slot_of(snapshot, service_id)
    if slot is not None:
        return slot.name
    group = group_of(snapshot, service_id)
    return f"{group.name}.{service_id.partition('.')[2]}" if group else service_id


def by_hash(group: Group) -> bool:
    """Whether callers reach it by key, so that slots matter; one that does not say how may be reached so."""
    return group.mode in ("hash", "")


def of_register(snapshot: Snapshot, asked: RegisterRequest) -> Said:
    """Register, vacate, remove, or name the master."""
    name = name_of(snapshot, asked.service_id)
    group = group_of(snapshot, asked.service_id)
    if asked.is_master:
        title = Message("effect.make-the-master", name=name)
    elif asked.token is None:
        title = Message("effect.remove-from-the-routing-table", name=name)
    elif asked.token == 0 and group is not None and not by_hash(group):
        title = Message("effect.make-the-entry-of-vacant", name=name)
    elif asked.token == 0:
        title = Message("effect.make-the-slot-of-vacant", name=name)
    else:
        title = Message("effect.register", name=name)
    sentences = list(_register_sentences(snapshot, asked, name, group))
    apart = _apart(snapshot, asked)
    if apart:
        sentences.append(
            Message(
                "effect.only-changes-the-routers-disagree-until",
                router=asked.router,
            )
        )
    silent = [one.name for one in snapshot.routers if not one.connected and asked.router in ("*", one.name)]
    sentences += [Message("effect.does-not-answer-nothing-is-changed", router=router) for router in silent]
    danger = asked.is_master or asked.token != "own" or apart or bool(silent)
    return title, sentences, danger


def _apart(snapshot: Snapshot, asked: RegisterRequest) -> bool:
    """Whether the one router that changes then has another entry than the others."""
    if asked.router == "*":
        return False
    after = {entries.becomes(snapshot, one, asked) for one in entries.meant(snapshot, asked.router)}
    others = {
        entries.held(snapshot, one, asked.service_id)
        for one in entries.meant(snapshot, "*")
        if one.name != asked.router
    }
    return bool(others) and others != after


def _register_sentences(
    snapshot: Snapshot, asked: RegisterRequest, name: str, group: Group | None
) -> Iterator[Message]:
    slot = slot_of(snapshot, asked.service_id)
    if asked.token == 0:
        if slot is None:
            yield Message("effect.has-no-entry-yet-a-vacant", name=name)
        elif slot.token == 0:
            yield Message("effect.it-is-so-already-nothing-changes")
        else:
            yield from without(name, group, slot)
    elif asked.token is None:
        yield from _removed(name, group, slot)
    else:
        yield from _over_a_connection(snapshot, asked, name, group, slot)
        yield from _master_by_hand(snapshot, asked, name, group)


def _removed(name: str, group: Group | None, slot: Slot | None) -> Iterator[Message]:
    if slot is None or group is None:
        yield Message("effect.has-no-entry-nothing-changes", name=name)
        return
    if slot.slot is None or not by_hash(group):
        yield Message("effect.messages-to-answer-noroute-it-takes", name=name)
    else:
        left = len(hash_slots(group)) - 1
        yield Message("effect.messages-to-answer-noroute", name=name)
        if left:
            yield Message(
                "effect.the-hash-array-of-shrinks",
                group=group.name,
                before=left + 1,
                after=left,
            )
        else:
            yield Message("effect.nobody-is-left-in-group", group=group.name)
    yield from masterless(name, group, slot.service_id)


def _over_a_connection(
    snapshot: Snapshot, asked: RegisterRequest, name: str, group: Group | None, slot: Slot | None
) -> Iterator[Message]:
    """The entry becomes live: over its own connection, or over that of a token."""
    routers = entries.meant(snapshot, asked.router)
    if asked.token == "own":
        without_it = [r.name for r in routers if not entries.has_joined(snapshot, r.name, asked.service_id)]
        if without_it:
            yield Message(
                "effect.no-connection-at-says",
                routers=", ".join(without_it),
                name=name,
            )
            return
    else:
        whose = whose_token(snapshot, asked)
        yield Message("effect.token-is-the-connection", token=asked.token, who=whose)
        if whose != name:
            yield Message("effect.what-is-sent-to-goes", name=name, who=whose)
            return
    if slot is None:
        yield Message("effect.messages-to-go-to-that-connection", name=name)
    elif slot.token == 0 and group is not None and slot.slot is not None and by_hash(group):
        heir = _heir(group, asked.service_id)
        yield Message(
            "effect.takes-its-slot-again-its-keys",
            name=name,
            heir=heir or Message("word.nobody"),
        )
    elif slot.token == 0:
        yield Message("effect.messages-to-reach-it-again", name=name)
    elif all(
        entries.held(snapshot, one, asked.service_id) == entries.becomes(snapshot, one, asked)
        for one in routers
    ):
        yield Message("effect.it-is-so-already-nothing-changes")
    elif not asked.is_master:
        yield Message("effect.messages-to-go-to-that-connection", name=name)


def _master_by_hand(
    snapshot: Snapshot, asked: RegisterRequest, name: str, group: Group | None
) -> Iterator[Message]:
    if group is None:
        return
    if asked.is_master and group.elected:
        yield Message(
            "effect.group-elects-its-master-by-lease",
            group=group.name,
        )
    elif asked.is_master and group.master not in (None, asked.service_id):
        yield Message("effect.it-takes-the-place", old=name_of(snapshot, group.master or ""))
    elif not asked.is_master and group.master == asked.service_id and not group.elected:
        yield Message("effect.is-the-master-of-no-longer", name=name, group=group.name)


def whose_token(snapshot: Snapshot, asked: RegisterRequest) -> str:
    """Who is at the other end of the connection that is asked for. Raises `Refused` as the routers do."""
    assert isinstance(asked.token, int)
    routers = [one.name for one in entries.meant(snapshot, asked.router)]
    rows = {router: entries.connection(snapshot, router, asked.token) for router in routers}
    found = {router: row.name or row.peer for router, row in rows.items() if row is not None}
    if routers and not found:
        if len(routers) > 1:
            said = Message(
                "effect.no-router-has-a-connection",
                token=asked.token,
            )
        else:
            said = Message(
                "effect.has-no-connection-with-token-see",
                router=routers[0],
                token=asked.token,
            )
        raise Refused.coded(said)
    if len(set(found.values())) > 1 or len(found) < len(routers):
        raise Refused.coded(
            Message(
                "effect.token-is-not-the-same-connection",
                token=asked.token,
                where=", ".join(f"{router}: {found.get(router, '–')}" for router in routers),
            )
        )
    return next(iter(found.values()), "")


def without(
    name: str, group: Group | None, slot: Slot | None, away: Collection[str] = ()
) -> Iterator[Message]:
    """What happens while this entry is vacant, and those of `away` too."""
    if slot is None or group is None:
        return
    slots = len(hash_slots(group))
    if slot.slot is not None and slots and by_hash(group):
        heir = _heir(group, slot.service_id, away)
        if heir:
            yield Message(
                "effect.the-keys-of-its-slot-1",
                slots=slots,
                heir=heir,
            )
        else:
            yield Message("effect.nobody-else-is-live-in-group", group=group.name)
    yield Message("effect.messages-to-answer-noroute-until", name=name)
    yield from masterless(name, group, slot.service_id)


def masterless(name: str, group: Group, service_id: str) -> Iterator[Message]:
    if group.master == service_id:
        yield Message(
            "effect.is-the-master-of-calls",
            name=name,
            group=group.name,
        )


def _heir(group: Group, service_id: str, away: Collection[str] = ()) -> str | None:
    """Who serves this entry's keys while it is away."""
    slots = hash_slots(group)
    position = next((n for n, slot in enumerate(slots) if slot.service_id == service_id), None)
    if position is None:
        return None
    around = slots[position + 1 :] + slots[:position]
    return next((slot.name for slot in around if slot.token and slot.service_id not in away), None)


def elects(group: Group) -> bool:
    """Whether its master is found by lease, so that an instance can be promoted."""
    return group.elected or group.epoch > 0


def of_promote(snapshot: Snapshot, service_id: str) -> Said:
    """Raises `Refused` as `luabus.admin` does, in a group that elects no master."""
    name = name_of(snapshot, service_id)
    title = Message("effect.promote-to-master", name=name)
    group = group_of(snapshot, service_id)
    if group is None or not elects(group):
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


def routed_to(snapshot: Snapshot, route: str) -> tuple[Group | None, list[str]]:
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
        _, serves = place(found, hash_key(key_of(key)))
        live = [serves] if serves else []
    return found, [slot.name for slot in live]


def of_call(snapshot: Snapshot, asked: CallRequest) -> Said:
    """Who would get a request."""
    title = Message("effect.send-to", method=asked.method, route=asked.route)
    group, names = routed_to(snapshot, asked.route)
    kind = asked.route.partition(":")[0]
    if not names:
        said = nobody(snapshot, asked, group)
    elif group is None or kind in ("target", "hash"):
        said = Message("effect.gets-it", name=names[0])
    elif kind == "broadcast":
        said = Message("effect.every-live-instance-of-gets", group=group.name, count=len(names))
    elif kind == "random":
        said = Message("effect.one-of-the-live-instances", group=group.name, count=len(names))
    else:
        said = Message("effect.the-master-gets", name=names[0])
    return title, [said], False


def nobody(snapshot: Snapshot, asked: CallRequest, group: Group | None) -> Message:
    """What becomes of a request that by the tables leads nowhere."""
    if not snapshot.routed:
        return Message("effect.no-router-answers-nothing-can")
    masterless = asked.route.startswith("master:") and group is not None and group.master is None
    if group is not None and masterless:
        if asked.one_way:
            return Message("effect.has-no-master-now-nobody-gets", group=group.name)
        return Message("effect.has-no-master-now", group=group.name)
    if asked.one_way:
        return Message("effect.nobody-is-there-now-nobody-gets")
    return Message("effect.nobody-is-there-it-is-answered")


def unanswered(snapshot: Snapshot, asked: CallRequest) -> Message:
    """Nobody answered in time: how long that was, and who was asked, as far as one can know."""
    group, names = routed_to(snapshot, asked.route)
    who: Message | str = asked.route
    if group is not None and asked.route.startswith(("random:", "broadcast:")):
        who = Message("effect.an-instance", group=group.name, names=", ".join(names))
    elif names:
        who = names[0]
    return Message(
        "effect.no-answer-within-s",
        seconds=f"{asked.timeout_s:g}",
        who=who,
        method=asked.method,
        route=asked.route,
    )
