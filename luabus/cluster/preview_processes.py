"""What ending, stopping or scaling processes away does, told before it is done: what the cluster is without them, and what
follows by their restart policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from luabus.cluster import signals
from luabus.cluster.key_moves import moving
from luabus.cluster.preview_routing import Preview, group_of, keys, masterless, slot_of, unreachable, without
from luabus.cluster.restart_policy import Outcome, Policy, is_crash, outcome_of
from luabus.cluster.signals import Effect
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import GroupState, Process
from luabus.limits import HEARTBEAT_S, HEARTBEATS_MISSED
from luabus.messages import Message

LOST_AFTER_S: Final = (HEARTBEATS_MISSED + 0.5) * HEARTBEAT_S
TOLD_ONE_BY_ONE: Final = 3

Back = Literal["restarted", "again", "stopped", "paused"]
"""What becomes of them: started again by their policy, or at once; not before somebody starts them; or lets them go on."""


def of_kill(snapshot: Snapshot, name: str, signal: str) -> Preview:
    """A signal (as `signals.name_of` names it) to one process, or to every process of a service."""
    title = Message("effect.send-to-signal-name", signal=signal, name=name)
    targets = [process for process in targets_of(snapshot, name) if process.pid]
    if not targets:
        return title, [Message("effect.has-no-process-now", name=name)], False
    effect = signals.effect_of(signal)
    match effect:
        case Effect.ENDS:
            serves = any(_is_service(process) for process in targets)
            first = (
                Message("effect.it-ends-at-once-without-a-clean-stop")
                if serves
                else Message("effect.it-ends-at-once-without")
            )
        case Effect.STOPS_CLEANLY if all(process.ours for process in targets):
            first = Message("effect.it-gets-and-stops-in-order", signal=signal)
        case Effect.STOPS_CLEANLY:
            first = Message("effect.it-gets-and-may-stop-cleanly", signal=signal)
        case Effect.PAUSES:
            return title, list(_paused(snapshot, targets)), True
        case Effect.GOES_ON:
            return title, [Message("effect.it-goes-on-if")], False
        case Effect.NOTHING:
            return (
                title,
                [Message("effect.nothing-happens-unless-the-program-handles", signal=signal)],
                False,
            )
        case Effect.PROGRAMS_OWN:
            first = Message("effect.what-does-is-the-programs-affair", signal=signal)
    ends = [(process, ways_by_signal(process, signal, effect)) for process in targets]
    if effect is Effect.PROGRAMS_OWN:
        return title, [first, *told(ends)], True
    stays = not any(way.back for _, ways in ends for way in ways)
    lost = _losses(snapshot, targets, "stopped" if stays else "restarted")
    return title, [first, *lost, *told(ends)], True


def of_stop(snapshot: Snapshot, name: str, restart: bool) -> Preview:
    """Stop or restart in order."""
    targets = targets_of(snapshot, name)
    alive = any(process.pid for process in targets)
    title = Message("effect.restart" if restart else "effect.stop", name=name)
    if restart:
        if not alive:
            return title, [Message("effect.it-does-not-run-now-it")], False
        sentences = [
            Message("effect.one-after-the-other-each-leaves")
            if any(_is_service(process) for process in targets)
            else Message("effect.one-after-the-other-each-stops")
        ]
        if len(targets) == 1:
            sentences += _losses(snapshot, targets, "again")
        return title, sentences, False
    if not alive:
        return title, [Message("effect.it-does-not-run-now")], False
    sentences = [Message("effect.it-finishes-what-it-works")]
    return title, [*sentences, *_losses(snapshot, targets, "stopped")], True


def of_close(snapshot: Snapshot, router: str, token: int) -> Preview:
    row = next((row for row in snapshot.connections if row.router == router and row.token == token), None)
    who = (row.name or row.peer) if row else Message("effect.token", token=token)
    sentences = [
        Message(
            "effect.ends-the-connection-connects-again",
            router=router,
            who=who,
        )
    ]
    if row is not None and row.service_id:
        slot = slot_of(snapshot, row.service_id)
        sentences += list(without(row.name, group_of(snapshot, row.service_id), slot))[:1]
    return Message("effect.close-the-connection", who=who, router=router), sentences, True


def of_scale(snapshot: Snapshot, service: str, wanted: int) -> Preview:
    """More instances, or fewer."""
    processes = snapshot.services().get(service, [])
    now = len(processes)
    title = Message("effect.scale-from", service=service, now=now, wanted=wanted)
    group = next((group for group in snapshot.groups() if group.name == service), None)
    if wanted == now:
        return title, [Message("effect.it-has-already-nothing-changes", now=now)], False
    if wanted > now:
        count = wanted - now
        sentences = [
            Message("effect.one-more-is-started")
            if count == 1
            else Message("effect.more-are-started", count=count)
        ]
        newcomers = [f"{group.group}.{instance}" for instance in range(now + 1, wanted + 1)] if group else ()
        moved = moving(group, back=newcomers) if group else None
        return title, [*sentences, moved] if moved is not None else sentences, False
    sentences = [
        Message("effect.finishes-what-it-works", name=processes[-1].name)
        if wanted == now - 1
        else Message("effect.the-last-finish-what-they-work", count=now - wanted)
    ]
    if wanted == 0:
        sentences.append(Message("effect.nobody-is-left-callers-of-get", service=service))
    if group is not None and wanted > 0:
        sentences += keys(group, {gone.service_id for gone in processes[wanted:] if gone.service_id})
        for gone in processes[wanted:]:
            sentences += masterless(gone.name, group, gone.service_id or "")
    return title, sentences, True


def targets_of(snapshot: Snapshot, name: str) -> list[Process]:
    """The process of this name, or all of the service."""
    return [process for process in snapshot.processes if name in (process.name, process.service)]


def _paused(snapshot: Snapshot, targets: Sequence[Process]) -> Iterator[Message]:
    if any(process.service_id or process.ours for process in targets):
        yield Message(
            "effect.it-stops-answering-but-does-not",
            seconds=f"{LOST_AFTER_S:g}",
        )
    else:
        yield Message("effect.it-stops-working-but-does-not")
    yield from _losses(snapshot, targets, "paused")
    yield from told([(process, ways_in_silence(process)) for process in targets])


def _losses(snapshot: Snapshot, targets: Sequence[Process], back: Back) -> Iterator[Message]:
    """What the cluster is without them."""
    names = {process.name for process in targets}
    yield from _routers(snapshot, names, back)
    if any(process.service == "dashboard" for process in targets):
        yield {
            "stopped": Message("effect.this-page-goes-away-until", name="dashboard"),
            "paused": Message("effect.this-page-does-not-answer-until"),
        }.get(back, Message("effect.this-page-goes-away-until-the"))
    ids = {process.service_id for process in targets if _is_service(process) and process.service_id}
    for group in snapshot.groups():
        yield from _of_group(snapshot, group, ids, back)


def _routers(snapshot: Snapshot, names: set[str], back: Back) -> Iterator[Message]:
    gone = [router.name for router in snapshot.routers if router.name in names]
    if not gone:
        return
    others = [other.name for other in snapshot.routers if other.connected and other.name not in names]
    if others:
        yield Message(
            "effect.services-that-send-through-change-over",
            name=", ".join(gone),
            others=", ".join(others),
        )
    elif back == "stopped":
        yield Message("effect.no-other-router-answers-nothing-is-routed-until")
    else:
        yield Message("effect.no-other-router-answers-nothing")


def _of_group(snapshot: Snapshot, group: GroupState, ids: set[str], back: Back) -> Iterator[Message]:
    live = [slot for slot in group.slots if slot.token]
    gone = [slot for slot in live if slot.service_id in ids]
    if not gone:
        return
    if len(gone) == len(live):
        if back == "stopped":
            yield Message(
                "effect.nobody-is-left-in-group-its-callers-get",
                group=group.name,
            )
        else:
            yield Message(
                "effect.nobody-is-left-in-group-its",
                group=group.name,
            )
        return
    yield from keys(group, ids)
    for slot in gone[:TOLD_ONE_BY_ONE]:
        yield from unreachable(slot.name, group, slot.service_id)
    if len(gone) > TOLD_ONE_BY_ONE:
        yield Message("effect.the-same-goes-for-more", more=len(gone) - TOLD_ONE_BY_ONE)


def _is_service(process: Process) -> bool:
    """One that joins the bus."""
    return process.service_id is not None and not process.service_id.startswith("0.")


# --- what follows the end of a process, by the rules that the launcher acts on ----------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a process may end. `back`: it is started again; `fails`: it is given up."""

    text: Message
    back: bool
    fails: bool = False


def ways_by_signal(process: Process, signal: str, effect: Effect) -> list[Way]:
    """The ways in which it ends by a signal that ends it, or may."""
    if process.state == "stopping":
        if process.wanted is False:
            return [Way(Message("effect.it-is-being-stopped-already"), back=False)]
        return [Way(Message("effect.it-is-on-its-way-down"), back=True)]
    if effect is Effect.ENDS:
        return [_way(process, Message("effect.it-ends-by-the-signal-which"), success=False)]
    if effect is Effect.PROGRAMS_OWN:
        return [_way(process, Message("effect.if-it-ends-by-the-signal"), success=False)]
    if process.state == "starting" and process.ready_by != "spawn":
        return [_way(process, Message("effect.it-is-not-ready-yet"), success=True)]
    if process.ours:
        return [_way(process, Message("effect.it-ends-with-exit-code-0"), success=True)]
    # Whether another program handles the signal nobody can tell from outside.
    return [
        _way(process, Message("effect.a-program-that-does-not-handle"), success=False),
        _way(process, Message("effect.one-that-handles-it-and-ends"), success=True),
    ]


def ways_in_silence(process: Process) -> list[Way]:
    """What the launcher does with one that stays paused; nothing where it does not look."""
    if process.liveness_timeout_s is None:
        return []
    how = Message("effect.at-no-router-for-s", seconds=f"{process.liveness_timeout_s:g}")
    return [_way(process, how, success=True, replaced=True)]


def told(ends: Sequence[tuple[Process, Sequence[Way]]]) -> list[Message]:
    """The sentences; those that are the same for all of them without names."""
    alike: dict[tuple[Message, ...], list[str]] = {}
    for process, ways in ends:
        alike.setdefault(tuple(way.text for way in ways), []).append(process.name)
    sentences = [
        text if len(alike) == 1 else Message("effect.names-what", names=", ".join(names), what=text)
        for texts, names in alike.items()
        for text in texts
    ]
    sentences += [
        Message("effect.is-essential-when-it-has-failed", name=process.name)
        for process, ways in ends
        if process.essential and any(way.fails for way in ways)
    ]
    return sentences


def _way(process: Process, how: Message, *, success: bool, replaced: bool = False) -> Way:
    """Ended so, by its restart policy."""
    policy = process.restart_policy
    if policy not in ("always", "on-failure", "never"):
        return Way(Message("effect.what-follows-its-restart-policy-says", how=how), back=True)
    # A job is done when it ends with success; and where nothing must be reported, none was missed.
    early = process.state == "starting" and process.daemon is not False and process.ready_by != "spawn"
    crashed = is_crash(success=success, early=early, replaced=replaced)
    outcome = outcome_of(cast(Policy, policy), crashed=crashed, left=process.restarts_left)
    if outcome is Outcome.RESTARTS:
        then = Message("effect.it-is-started-again", policy=policy)
    elif outcome is Outcome.FAILS and policy != "never":
        then = Message("effect.it-has-crashed-too-often-lately")
    else:
        then = Message("effect.it-stays-down-for-its-restart", policy=policy)
    text = Message("effect.how-then", how=how, then=then)
    return Way(text, back=outcome is Outcome.RESTARTS, fails=outcome is Outcome.FAILS)


def of_start(snapshot: Snapshot, name: str) -> Preview:
    sentences = [Message("effect.what-runs-already-is-left-alone"), *_homecoming(snapshot, name)]
    return Message("effect.start", name=name), sentences, False


def of_pause(snapshot: Snapshot, name: str) -> Preview:
    """SIGSTOP until it is resumed; nothing replaces it meanwhile."""
    running = [
        process for process in targets_of(snapshot, name) if process.pid and process.state == "running"
    ]
    title = Message("effect.pause", name=name)
    if not running:
        return title, [Message("effect.has-no-process-now", name=name)], False
    return title, [Message("effect.stands-still-until-resumed"), *_losses(snapshot, running, "paused")], True


def of_resume(snapshot: Snapshot, name: str) -> Preview:
    sentences = [Message("effect.goes-on-where-it-stood"), *_homecoming(snapshot, name)]
    return Message("effect.resume", name=name), sentences, False


def _homecoming(snapshot: Snapshot, name: str) -> Iterator[Message]:
    """Which keys move to them when they are back."""
    ids = {process.service_id for process in targets_of(snapshot, name) if _is_service(process)}
    for group in snapshot.groups():
        back = [one for one in ids if one is not None and one.partition(".")[0] == str(group.group)]
        message = moving(group, back=back)
        if message is not None:
            yield message


PREVIEWS: Final[Mapping[str, Callable[..., Preview]]] = {
    "restart": lambda snapshot, name: of_stop(snapshot, name, restart=True),
    "start": of_start,
    "scale": of_scale,
    "stop": lambda snapshot, name: of_stop(snapshot, name, restart=False),
    "kill": of_kill,
    "pause": of_pause,
    "resume": of_resume,
}
"""What the launcher's verbs would do, by their names; each is given what the verb is told, in the same order."""
