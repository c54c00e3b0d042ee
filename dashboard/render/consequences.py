"""What an action would do, said in this cluster's terms before it is done; and the request that takes it back."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dashboard.model import CallAsked, Group, RegisterAsked, Slot
from dashboard.render.tables import hash_slots, place
from dashboard.snapshot import Snapshot
from dashboard.texts import Text
from luabus import hash_key, key_of

MOST_ARGUMENTS = 160
"""Characters of a request's arguments that the event log keeps."""

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


def undo_of(snapshot: Snapshot, asked: RegisterAsked) -> RegisterAsked | None:
    """The request that restores the entry as it was; None when nothing would change, or for a change of master."""
    if asked.is_master:
        return None
    slot = slot_of(snapshot, asked.service_id)
    before: int | str | None = None if slot is None else ("own" if slot.token else 0)
    after = asked.token if asked.token in (None, 0) else "own"
    if before == after:
        return None
    return RegisterAsked.model_validate(
        {"router": asked.router, "service_id": asked.service_id, "token": before}
    )


def of_register(snapshot: Snapshot, asked: RegisterAsked) -> Said:
    """Register, vacate, remove, or name the master."""
    name = name_of(snapshot, asked.service_id)
    slot = slot_of(snapshot, asked.service_id)
    if asked.is_master:
        title = Text("Make {name} the master?", name=name)
    elif asked.token is None:
        title = Text("Remove {name} from the routing table?", name=name)
    elif asked.token == 0:
        title = Text("Make the slot of {name} vacant?", name=name)
    else:
        title = Text("Register {name}?", name=name)
    sentences = list(_register_sentences(snapshot, asked, name, slot))
    one_of_several = asked.router != "*" and len(snapshot.routers) > 1
    if one_of_several:
        sentences.append(
            Text(
                "Only {router} changes: the routers disagree until the others are told the same.",
                router=asked.router,
            )
        )
    danger = asked.is_master or asked.token in (None, 0) or one_of_several
    return title, sentences, danger


def _register_sentences(
    snapshot: Snapshot, asked: RegisterAsked, name: str, slot: Slot | None
) -> Iterator[Text]:
    group = group_of(snapshot, asked.service_id)
    slots = hash_slots(group) if group else []
    heir = _heir(group, asked.service_id) if group else None
    if asked.token == 0:
        yield from _without(name, group, slot, heir)
        if slot is None:
            yield Text("{name} has no entry yet: a vacant slot is added for it.", name=name)
    elif asked.token is None:
        if slot is None:
            yield Text("{name} has no entry: nothing changes.", name=name)
        elif slot.slot is None:
            yield Text(
                "Messages to {name} answer NoRoute; it takes part in random and broadcast no more.", name=name
            )
        else:
            left = len(slots) - 1
            yield Text("Messages to {name} answer NoRoute.", name=name)
            if left:
                yield Text(
                    "The hash array of {group} shrinks from {before} slots to {after}: most keys move to another instance.",
                    group=group.name if group else "",
                    before=left + 1,
                    after=left,
                )
            else:
                yield Text("Nobody is left in group {group}.", group=group.name if group else "")
    elif slot is not None and slot.token == 0:
        yield Text(
            "{name} takes its slot again: its keys come home from {heir}.",
            name=name,
            heir=heir or Text("nobody"),
        )
    else:
        yield Text("Messages to {name} go to that connection from now on.", name=name)
    if asked.is_master and group is not None and group.elected:
        yield Text(
            "Group {group} elects its master by lease: the routers refuse this. Promote it instead.",
            group=group.name,
        )
    elif asked.is_master and group is not None and group.master not in (None, asked.service_id):
        yield Text("It takes the place of {old}.", old=name_of(snapshot, group.master or ""))


def _without(name: str, group: Group | None, slot: Slot | None, heir: str | None) -> Iterator[Text]:
    """What happens while this entry is vacant."""
    if slot is None or group is None:
        return
    slots = len(hash_slots(group))
    if slot.slot is not None and slots:
        if heir:
            yield Text(
                "The keys of its slot (1 of {slots}) go to {heir}; everyone else's stay.",
                slots=slots,
                heir=heir,
            )
        else:
            yield Text("Nobody else is live in group {group}: its callers get NoRoute.", group=group.name)
    yield Text("Messages to {name} answer NoRoute until it registers again.", name=name)
    if group.master == slot.service_id:
        yield Text(
            "It is the master of {group}: calls to the master fail until there is another.", group=group.name
        )


def _heir(group: Group, service_id: str) -> str | None:
    """Who serves this entry's keys while it is away."""
    slots = hash_slots(group)
    position = next((n for n, slot in enumerate(slots) if slot.service_id == service_id), None)
    if position is None:
        return None
    around = slots[position + 1 :] + slots[:position]
    return next((slot.name for slot in around if slot.token), None)


def of_promote(snapshot: Snapshot, service_id: str) -> Said:
    name = name_of(snapshot, service_id)
    group = group_of(snapshot, service_id)
    sentences = []
    if group and group.master and group.master != service_id:
        sentences.append(
            Text(
                "{old} gives up the lease of {group} and {name} takes it, with a higher epoch.",
                old=name_of(snapshot, group.master),
                group=group.name,
                name=name,
            )
        )
    elif group and group.master == service_id:
        sentences.append(Text("It is the master already: nothing changes."))
    sentences.append(Text("Calls to the master fail for a moment in between."))
    return Text("Promote {name} to master?", name=name), sentences, True


def of_kill(snapshot: Snapshot, name: str, signal: str) -> Said:
    """Kill one process, or every process of a service."""
    targets = [process for process in snapshot.processes if name in (process.name, process.service)]
    title = Text("Send {signal} to {name}?", signal=signal, name=name)
    sentences: list[Text] = []
    if signal in ("SIGKILL", "KILL", "9"):
        sentences.append(
            Text("It ends at once, without a clean stop: requests it is working on answer PeerLost.")
        )
    else:
        sentences.append(
            Text("It gets {signal} and may stop cleanly; the launcher does not wait for it.", signal=signal)
        )
    for process in targets[:3]:
        sentences += _loss(snapshot, process.name, process.service_id, process.restarts)
    if len(targets) > 3:
        sentences.append(Text("The same goes for {more} more.", more=len(targets) - 3))
    return title, sentences, True


def of_stop(snapshot: Snapshot, name: str, restart: bool) -> Said:
    """Stop or restart in order."""
    targets = [process for process in snapshot.processes if name in (process.name, process.service)]
    if restart:
        sentences = [
            Text(
                "One after the other: each leaves the routing table, finishes what it works on, and starts again."
            )
        ]
        if len(targets) == 1:
            sentences += _loss(snapshot, targets[0].name, targets[0].service_id, None)
        return Text("Restart {name}?", name=name), sentences, False
    sentences = [Text("It finishes what it works on and stays stopped until it is started again.")]
    for process in targets[:3]:
        sentences += _loss(snapshot, process.name, process.service_id, None)
    return Text("Stop {name}?", name=name), sentences, True


def _loss(snapshot: Snapshot, name: str, service_id: str | None, restarts: int | None) -> list[Text]:
    """What the cluster is without this process."""
    router = next((router for router in snapshot.routers if router.name == name), None)
    if router is not None:
        others = [other.name for other in snapshot.routers if other.connected and other.name != name]
        if others:
            return [
                Text(
                    "Services that send through {name} change over to {others}; messages on their way through it may be lost.",
                    name=name,
                    others=", ".join(others),
                )
            ]
        return [Text("It is the only router that answers: nothing is routed until one is back.")]
    if name.partition(".")[0] == "dashboard":
        return [Text("This page goes away until the launcher has started it again.")]
    said: list[Text] = []
    slot = slot_of(snapshot, service_id) if service_id else None
    if slot is not None and slot.token and service_id:
        group = group_of(snapshot, service_id)
        said += _without(slot.name, group, slot, _heir(group, service_id) if group else None)
    if restarts is not None:
        said.append(
            Text(
                "The launcher starts {name} again as its restart policy says (restarts so far: {restarts}).",
                name=name,
                restarts=restarts,
            )
        )
    return said


def of_close(snapshot: Snapshot, router: str, token: int) -> Said:
    row = next((row for row in snapshot.connections if row.router == router and row.token == token), None)
    who = (row.name or row.peer) if row else Text("token {token}", token=token)
    sentences = [
        Text(
            "{router} ends the connection; {who} connects again by itself if it is alive.",
            router=router,
            who=who,
        )
    ]
    if row is not None and row.service_id:
        sentences += _loss(snapshot, row.name, row.service_id, None)[:1]
    return Text("Close the connection of {who} at {router}?", who=who, router=router), sentences, True


def of_scale(snapshot: Snapshot, service: str, now: int, wanted: int) -> Said:
    """More instances, or fewer."""
    title = Text("Scale {service} from {now} to {wanted}?", service=service, now=now, wanted=wanted)
    group = next((group for group in snapshot.groups() if group.name == service), None)
    slots = len(hash_slots(group)) if group else 0
    if wanted == now:
        return title, [Text("It has {now} already: nothing changes.", now=now)], False
    if wanted > now:
        sentences = [Text("{count} more are started.", count=wanted - now)]
        if slots and wanted > slots:
            sentences.append(
                Text(
                    "The hash array stays at {slots} slots: those beyond take every route but hash.",
                    slots=slots,
                )
            )
        return title, sentences, False
    sentences = [Text("The last {count} finish what they work on and stop.", count=now - wanted)]
    if wanted == 0:
        sentences.append(Text("Nobody is left: callers of {service} get NoRoute.", service=service))
    elif wanted < slots:
        sentences.append(
            Text(
                "{count} of {slots} slots become vacant; their keys go to the next live instance.",
                count=slots - wanted,
                slots=slots,
            )
        )
    return title, sentences, True


def call_text(asked: CallAsked) -> str:
    """A request in one line, for the event log: arguments shortened, for they may be long."""
    args = ", ".join(json.dumps(one, ensure_ascii=False) for one in asked.args)
    shown = args if len(args) <= MOST_ARGUMENTS else args[: MOST_ARGUMENTS - 1] + "…"
    return f"{'send' if asked.one_way else 'request'} {asked.method}({shown}) to {asked.route}"


def of_call(snapshot: Snapshot, asked: CallAsked) -> Said:
    """Who would get a request."""
    kind, _, rest = asked.route.partition(":")
    wanted, _, key = rest.partition(":") if kind == "hash" else (rest, "", "")
    title = Text("Send {method} to {route}?", method=asked.method, route=asked.route)
    groups = snapshot.groups()
    if kind == "target":
        return title, [Text("{name} gets it.", name=rest)], False
    group = next((one for one in groups if wanted in (str(one.group), one.name)), None)
    live = [slot for slot in group.slots if slot.token] if group else []
    if group is None or not live:
        return title, [Text("Nobody is there: it is answered NoRoute.")], False
    if kind == "broadcast":
        return (
            title,
            [Text("Every live instance of {group} gets it: {count}.", group=group.name, count=len(live))],
            False,
        )
    if kind == "random":
        return (
            title,
            [
                Text(
                    "One of the {count} live instances of {group} gets it.", group=group.name, count=len(live)
                )
            ],
            False,
        )
    if kind == "master":
        if group.master is None:
            return (
                title,
                [Text("{group} has no master now: it is answered NoMaster.", group=group.name)],
                False,
            )
        return title, [Text("The master gets it: {name}.", name=name_of(snapshot, group.master))], False
    _, serves = place(group, hash_key(key_of(key)))
    return title, [Text("{name} gets it.", name=serves.name if serves else Text("nobody"))], False
