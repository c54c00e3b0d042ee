"""What a change of the tables or a request would do, said in this cluster's terms before it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dashboard.i18n import RefusedWithMessage, Text
from dashboard.model.answers import Group, Slot
from dashboard.model.requests import CallRequest, RegisterRequest
from dashboard.model.snapshot import Snapshot
from dashboard.views import entries
from dashboard.views.routing_tables import hash_slots, place
from luabus import hash_key, key_of

Said = tuple[Text, list[Text], bool]
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
        title = Text("Make {name} the master?", name=name)
    elif asked.token is None:
        title = Text("Remove {name} from the routing table?", name=name)
    elif asked.token == 0 and group is not None and not by_hash(group):
        title = Text("Make the entry of {name} vacant?", name=name)
    elif asked.token == 0:
        title = Text("Make the slot of {name} vacant?", name=name)
    else:
        title = Text("Register {name}?", name=name)
    sentences = list(_register_sentences(snapshot, asked, name, group))
    apart = _apart(snapshot, asked)
    if apart:
        sentences.append(
            Text(
                "Only {router} changes: the routers disagree until the others are told the same.",
                router=asked.router,
            )
        )
    silent = [one.name for one in snapshot.routers if not one.connected and asked.router in ("*", one.name)]
    sentences += [
        Text("{router} does not answer: nothing is changed there until it is told again.", router=router)
        for router in silent
    ]
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
) -> Iterator[Text]:
    slot = slot_of(snapshot, asked.service_id)
    if asked.token == 0:
        if slot is None:
            yield Text("{name} has no entry yet: a vacant slot is added for it.", name=name)
        elif slot.token == 0:
            yield Text("It is so already: nothing changes.")
        else:
            yield from without(name, group, slot)
    elif asked.token is None:
        yield from _removed(name, group, slot)
    else:
        yield from _over_a_connection(snapshot, asked, name, group, slot)
        yield from _master_by_hand(snapshot, asked, name, group)


def _removed(name: str, group: Group | None, slot: Slot | None) -> Iterator[Text]:
    if slot is None or group is None:
        yield Text("{name} has no entry: nothing changes.", name=name)
        return
    if slot.slot is None or not by_hash(group):
        yield Text(
            "Messages to {name} answer NoRoute; it takes part in random and broadcast no more.", name=name
        )
    else:
        left = len(hash_slots(group)) - 1
        yield Text("Messages to {name} answer NoRoute.", name=name)
        if left:
            yield Text(
                "The hash array of {group} shrinks from {before} slots to {after}: most keys move to another instance.",
                group=group.name,
                before=left + 1,
                after=left,
            )
        else:
            yield Text("Nobody is left in group {group}.", group=group.name)
    yield from masterless(name, group, slot.service_id)


def _over_a_connection(
    snapshot: Snapshot, asked: RegisterRequest, name: str, group: Group | None, slot: Slot | None
) -> Iterator[Text]:
    """The entry becomes live: over its own connection, or over that of a token."""
    routers = entries.meant(snapshot, asked.router)
    if asked.token == "own":
        without_it = [r.name for r in routers if not entries.has_joined(snapshot, r.name, asked.service_id)]
        if without_it:
            yield Text(
                "No connection at {routers} says it is {name}: this is refused.",
                routers=", ".join(without_it),
                name=name,
            )
            return
    else:
        whose = whose_token(snapshot, asked)
        yield Text("Token {token} is the connection of {who}.", token=asked.token, who=whose)
        if whose != name:
            yield Text("What is sent to {name} goes to {who} from now on.", name=name, who=whose)
            return
    if slot is None:
        yield Text("Messages to {name} go to that connection from now on.", name=name)
    elif slot.token == 0 and group is not None and slot.slot is not None and by_hash(group):
        heir = _heir(group, asked.service_id)
        yield Text(
            "{name} takes its slot again: its keys come home from {heir}.",
            name=name,
            heir=heir or Text("nobody"),
        )
    elif slot.token == 0:
        yield Text("Messages to {name} reach it again.", name=name)
    elif all(
        entries.held(snapshot, one, asked.service_id) == entries.becomes(snapshot, one, asked)
        for one in routers
    ):
        yield Text("It is so already: nothing changes.")
    elif not asked.is_master:
        yield Text("Messages to {name} go to that connection from now on.", name=name)


def _master_by_hand(
    snapshot: Snapshot, asked: RegisterRequest, name: str, group: Group | None
) -> Iterator[Text]:
    if group is None:
        return
    if asked.is_master and group.elected:
        yield Text(
            "Group {group} elects its master by lease: the routers refuse this. Promote it instead.",
            group=group.name,
        )
    elif asked.is_master and group.master not in (None, asked.service_id):
        yield Text("It takes the place of {old}.", old=name_of(snapshot, group.master or ""))
    elif not asked.is_master and group.master == asked.service_id and not group.elected:
        yield Text("{name} is the master of {group} no longer.", name=name, group=group.name)


def whose_token(snapshot: Snapshot, asked: RegisterRequest) -> str:
    """Who is at the other end of the connection that is asked for. Raises `Refused` as the routers do."""
    assert isinstance(asked.token, int)
    routers = [one.name for one in entries.meant(snapshot, asked.router)]
    rows = {router: entries.connection(snapshot, router, asked.token) for router in routers}
    found = {router: row.name or row.peer for router, row in rows.items() if row is not None}
    if routers and not found:
        if len(routers) > 1:
            said = Text(
                "no router has a connection with token {token}; see the connections, or use the token 'own'",
                token=asked.token,
            )
        else:
            said = Text(
                "{router} has no connection with token {token}; see the connections, or use the token 'own'",
                router=routers[0],
                token=asked.token,
            )
        raise RefusedWithMessage(said)
    if len(set(found.values())) > 1 or len(found) < len(routers):
        raise RefusedWithMessage(
            Text(
                "token {token} is not the same connection everywhere ({where}); name one router, or use the token 'own'",
                token=asked.token,
                where=", ".join(f"{router}: {found.get(router, '–')}" for router in routers),
            )
        )
    return next(iter(found.values()), "")


def without(name: str, group: Group | None, slot: Slot | None, away: Collection[str] = ()) -> Iterator[Text]:
    """What happens while this entry is vacant, and those of `away` too."""
    if slot is None or group is None:
        return
    slots = len(hash_slots(group))
    if slot.slot is not None and slots and by_hash(group):
        heir = _heir(group, slot.service_id, away)
        if heir:
            yield Text(
                "The keys of its slot (1 of {slots}) go to {heir}; everyone else's stay.",
                slots=slots,
                heir=heir,
            )
        else:
            yield Text("Nobody else is live in group {group}: its callers get NoRoute.", group=group.name)
    yield Text("Messages to {name} answer NoRoute until it registers again.", name=name)
    yield from masterless(name, group, slot.service_id)


def masterless(name: str, group: Group, service_id: str) -> Iterator[Text]:
    if group.master == service_id:
        yield Text(
            "{name} is the master of {group}: calls to the master fail until there is another.",
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
    title = Text("Promote {name} to master?", name=name)
    group = group_of(snapshot, service_id)
    if group is None or not elects(group):
        raise RefusedWithMessage(
            Text(
                "group {group} elects no master; register {name} as master by hand instead",
                group=group.name if group else service_id.partition(".")[0],
                name=name,
            )
        )
    if group.master == service_id:
        return title, [Text("{name} is the master already: nothing changes.", name=name)], False
    if group.master is None:
        return (
            title,
            [Text("{group} has no master that could hand over: this fails now.", group=group.name)],
            True,
        )
    slot = slot_of(snapshot, service_id)
    if slot is None or not slot.token:
        return title, [Text("{name} is not registered: this is answered NoRoute.", name=name)], True
    given = Text(
        "{old} gives up the lease of {group} and {name} takes it, with a higher epoch.",
        old=name_of(snapshot, group.master),
        group=group.name,
        name=name,
    )
    return title, [given, Text("Calls to the master fail for a moment in between.")], True


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
    title = Text("Send {method} to {route}?", method=asked.method, route=asked.route)
    group, names = routed_to(snapshot, asked.route)
    kind = asked.route.partition(":")[0]
    if not names:
        said = nobody(snapshot, asked, group)
    elif group is None or kind in ("target", "hash"):
        said = Text("{name} gets it.", name=names[0])
    elif kind == "broadcast":
        said = Text("Every live instance of {group} gets it: {count}.", group=group.name, count=len(names))
    elif kind == "random":
        said = Text(
            "One of the {count} live instances of {group} gets it.", group=group.name, count=len(names)
        )
    else:
        said = Text("The master gets it: {name}.", name=names[0])
    return title, [said], False


def nobody(snapshot: Snapshot, asked: CallRequest, group: Group | None) -> Text:
    """What becomes of a request that by the tables leads nowhere."""
    if not snapshot.routed:
        return Text("No router answers: nothing can be sent.")
    masterless = asked.route.startswith("master:") and group is not None and group.master is None
    if group is not None and masterless:
        if asked.one_way:
            return Text("{group} has no master now: nobody gets it.", group=group.name)
        return Text("{group} has no master now: it is answered NoMaster.", group=group.name)
    if asked.one_way:
        return Text("Nobody is there now: nobody gets it.")
    return Text("Nobody is there: it is answered NoRoute.")


def unanswered(snapshot: Snapshot, asked: CallRequest) -> Text:
    """Nobody answered in time: how long that was, and who was asked, as far as one can know."""
    group, names = routed_to(snapshot, asked.route)
    who: Text | str = asked.route
    if group is not None and asked.route.startswith(("random:", "broadcast:")):
        who = Text("an instance of {group} ({names})", group=group.name, names=", ".join(names))
    elif names:
        who = names[0]
    return Text(
        "no answer within {seconds} s from {who}: {method} was sent to {route}",
        seconds=f"{asked.timeout_s:g}",
        who=who,
        method=asked.method,
        route=asked.route,
    )
