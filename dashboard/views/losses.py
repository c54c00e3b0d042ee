"""What the cluster is without some of its processes or connections, said before they are ended, stopped or scaled away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from dashboard.i18n import Text
from dashboard.model.answers import Group, Process
from dashboard.model.snapshot import Snapshot
from dashboard.views import aftermath, signals
from dashboard.views.consequences import Said, by_hash, group_of, masterless, slot_of, without
from dashboard.views.routing_tables import hash_slots
from dashboard.views.signals import Effect
from luabus.limits import HEARTBEAT_S, HEARTBEATS_MISSED

LOST_AFTER_S: Final = (HEARTBEATS_MISSED + 0.5) * HEARTBEAT_S
TOLD_ONE_BY_ONE: Final = 3

Back = Literal["restarted", "again", "stopped", "paused"]
"""What becomes of them: started again by their policy, or at once; not before somebody starts them; or lets them go on."""


def of_kill(snapshot: Snapshot, name: str, signal: str) -> Said:
    """A signal (as `signals.name_of` names it) to one process, or to every process of a service."""
    title = Text("Send {signal} to {name}?", signal=signal, name=name)
    targets = [process for process in targets_of(snapshot, name) if process.pid]
    if not targets:
        return title, [Text("{name} has no process now: this is refused.", name=name)], False
    effect = signals.effect_of(signal)
    match effect:
        case Effect.ENDS:
            serves = any(_is_service(process) for process in targets)
            first = (
                Text("It ends at once, without a clean stop: requests it is working on answer PeerLost.")
                if serves
                else Text("It ends at once, without a clean stop.")
            )
        case Effect.STOPS_CLEANLY if all(process.ours for process in targets):
            first = Text(
                "It gets {signal} and stops in order; the launcher does not wait for it.", signal=signal
            )
        case Effect.STOPS_CLEANLY:
            first = Text(
                "It gets {signal} and may stop cleanly; the launcher does not wait for it.", signal=signal
            )
        case Effect.PAUSES:
            return title, list(_paused(snapshot, targets)), True
        case Effect.GOES_ON:
            return title, [Text("It goes on if it was stopped; otherwise nothing changes.")], False
        case Effect.NOTHING:
            return (
                title,
                [Text("Nothing happens, unless the program handles {signal}.", signal=signal)],
                False,
            )
        case Effect.PROGRAMS_OWN:
            first = Text(
                "What {signal} does is the program's affair; one that does not handle it ends.", signal=signal
            )
    ends = [(process, aftermath.of_signal(process, signal, effect)) for process in targets]
    if effect is Effect.PROGRAMS_OWN:
        return title, [first, *aftermath.told(ends)], True
    stays = not any(way.back for _, ways in ends for way in ways)
    lost = _losses(snapshot, targets, "stopped" if stays else "restarted")
    return title, [first, *lost, *aftermath.told(ends)], True


def of_stop(snapshot: Snapshot, name: str, restart: bool) -> Said:
    """Stop or restart in order."""
    targets = targets_of(snapshot, name)
    alive = any(process.pid for process in targets)
    title = Text("Restart {name}?" if restart else "Stop {name}?", name=name)
    if restart:
        if not alive:
            return title, [Text("It does not run now: it is started.")], False
        sentences = [
            Text(
                "One after the other: each leaves the routing table, finishes what it works on, and starts again."
            )
            if any(_is_service(process) for process in targets)
            else Text("One after the other: each stops in order, and starts again.")
        ]
        if len(targets) == 1:
            sentences += _losses(snapshot, targets, "again")
        return title, sentences, False
    if not alive:
        return title, [Text("It does not run now, and stays stopped until it is started again.")], False
    sentences = [Text("It finishes what it works on and stays stopped until it is started again.")]
    return title, [*sentences, *_losses(snapshot, targets, "stopped")], True


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
        slot = slot_of(snapshot, row.service_id)
        sentences += list(without(row.name, group_of(snapshot, row.service_id), slot))[:1]
    return Text("Close the connection of {who} at {router}?", who=who, router=router), sentences, True


def of_scale(snapshot: Snapshot, service: str, wanted: int) -> Said:
    """More instances, or fewer."""
    processes = snapshot.services().get(service, [])
    now = len(processes)
    title = Text("Scale {service} from {now} to {wanted}?", service=service, now=now, wanted=wanted)
    group = next((group for group in snapshot.groups() if group.name == service), None)
    slots = len(hash_slots(group)) if group and by_hash(group) else 0
    if wanted == now:
        return title, [Text("It has {now} already: nothing changes.", now=now)], False
    if wanted > now:
        count = wanted - now
        sentences = [
            Text("One more is started.") if count == 1 else Text("{count} more are started.", count=count)
        ]
        if slots and wanted > slots:
            sentences.append(
                Text(
                    "The hash array stays at {slots} slots: those beyond take every route but hash.",
                    slots=slots,
                )
            )
        return title, sentences, False
    sentences = [
        Text("{name} finishes what it works on and stops.", name=processes[-1].name)
        if wanted == now - 1
        else Text("The last {count} finish what they work on and stop.", count=now - wanted)
    ]
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
    if group is not None and wanted > 0:
        for gone in processes[wanted:]:
            sentences += masterless(gone.name, group, gone.service_id or "")
    return title, sentences, True


def targets_of(snapshot: Snapshot, name: str) -> list[Process]:
    """The process of this name, or all of the service."""
    return [process for process in snapshot.processes if name in (process.name, process.service)]


def _paused(snapshot: Snapshot, targets: Sequence[Process]) -> Iterator[Text]:
    if any(process.service_id or process.ours for process in targets):
        yield Text(
            "It stops answering but does not end: after {seconds} s its connections count as lost. SIGCONT lets it go on.",
            seconds=f"{LOST_AFTER_S:g}",
        )
    else:
        yield Text("It stops working but does not end. SIGCONT lets it go on.")
    yield from _losses(snapshot, targets, "paused")
    yield from aftermath.told([(process, aftermath.of_silence(process)) for process in targets])


def _losses(snapshot: Snapshot, targets: Sequence[Process], back: Back) -> Iterator[Text]:
    """What the cluster is without them."""
    names = {process.name for process in targets}
    yield from _routers(snapshot, names, back)
    if any(process.service == "dashboard" for process in targets):
        yield {
            "stopped": Text(
                "This page goes away until it is started again: luabus-cluster start {name}", name="dashboard"
            ),
            "paused": Text("This page does not answer until it goes on."),
        }.get(back, Text("This page goes away until the launcher has started it again."))
    ids = {process.service_id for process in targets if _is_service(process) and process.service_id}
    for group in snapshot.groups():
        yield from _of_group(snapshot, group, ids, back)


def _routers(snapshot: Snapshot, names: set[str], back: Back) -> Iterator[Text]:
    gone = [router.name for router in snapshot.routers if router.name in names]
    if not gone:
        return
    others = [other.name for other in snapshot.routers if other.connected and other.name not in names]
    if others:
        yield Text(
            "Services that send through {name} change over to {others}; messages on their way through it may be lost.",
            name=", ".join(gone),
            others=", ".join(others),
        )
    elif back == "stopped":
        yield Text("No other router answers: nothing is routed until one is started again.")
    else:
        yield Text("No other router answers: nothing is routed until one is back.")


def _of_group(snapshot: Snapshot, group: Group, ids: set[str], back: Back) -> Iterator[Text]:
    live = [slot for slot in group.slots if slot.token]
    gone = [slot for slot in live if slot.service_id in ids]
    if not gone:
        return
    if len(gone) == len(live):
        if back == "stopped":
            yield Text(
                "Nobody is left in group {group}: its callers get NoRoute until one is started again.",
                group=group.name,
            )
        else:
            yield Text(
                "Nobody is left in group {group}: its callers get NoRoute until one is back.",
                group=group.name,
            )
        return
    for slot in gone[:TOLD_ONE_BY_ONE]:
        yield from without(slot.name, group, slot, ids)
    if len(gone) > TOLD_ONE_BY_ONE:
        yield Text("The same goes for {more} more.", more=len(gone) - TOLD_ONE_BY_ONE)


def _is_service(process: Process) -> bool:
    """One that joins the bus."""
    return process.service_id is not None and not process.service_id.startswith("0.")
