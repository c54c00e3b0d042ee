"""Verbs: check names, preview or carry out, record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from dashboard.api.audit import audited, who
from dashboard.http.context import Caller, Context
from dashboard.http.problems import ApiError, bad_input, no_launcher, no_router, not_found
from dashboard.i18n import word
from dashboard.model.answers import LogLine, LogLines
from dashboard.model.requests import (
    CloseRequest,
    Consequence,
    Done,
    PromoteRequest,
    Registered,
    RegisterRequest,
)
from luabus import admin
from luabus.cluster import audit_texts, entries, preview_processes, preview_routing, signals
from luabus.cluster.entries import Registration
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.verbs import Takes, Verb
from luabus.errors import Refused, explain
from luabus.messages import Message, of_map

WORK_TIMEOUT_S: Final = 3600.0
"""A rolling restart of many slow starters takes its time; the launcher goes on when nobody waits."""
NEVER_SCALED: Final = ("router", "dashboard")


async def register(
    context: Context, caller: Caller | None, request: RegisterRequest, preview: bool
) -> Registered | Consequence:
    """`*` is every router. Unknown ids and routers are 404; what a router refuses is 409, in its own words."""
    snapshot = context.poller.snapshot
    service_id = known_id(snapshot, request.service_id)
    if request.router != "*" and request.router not in [router.name for router in snapshot.routers]:
        raise not_found("router", request.router, [router.name for router in snapshot.routers])
    _no_router(service_id, request.service_id)
    change = request.change(service_id)
    if preview:
        return consequence(preview_routing.of_register(snapshot, change), caller)
    name = preview_routing.name_of(snapshot, service_id)
    whose = audit_texts.whose(snapshot.connections, request.token, request.router)
    text = audit_texts.registered(change, name, whose)
    async with audited(context, caller, "register", name, text) as written, context.poller.changing:
        undo = entries.undo_of(await context.poller.with_tables(), change)
        answers = await context.poller.source.register(
            service_id, change.token, change.is_master, change.router
        )
        # A router that has never answered has no name of its own yet.
        names = {router.address: router.name for router in snapshot.routers}
        results = {names.get(router, router): outcome for router, outcome in answers.items()}
        written.text = audit_texts.registered(change, name, whose, results)
    return Registered(
        done=_registered_text(change, name, results).to(spoken_by(caller)),
        service_id=service_id,
        results=results,
        undo=undo,
    )


def _registered_text(change: Registration, name: str, results: Mapping[str, str]) -> Message:
    done = [router for router, outcome in results.items() if outcome == admin.DONE]
    silent = [router for router, outcome in results.items() if outcome not in (admin.DONE, admin.NOTHING)]
    if change.is_master:
        what = Message("verb.is-master", name=name)
    elif change.token is None:
        what = Message("verb.is-removed", name=name)
    else:
        what = Message("verb.is-registered" if change.token else "verb.is-vacant", name=name)
    if done:
        everywhere = change.router == "*" and len(done) == len(results)
        where = Message("word.every-router") if everywhere else ", ".join(done)
        message = Message("verb.done-at", what=what, where=where)
    else:
        message = Message("verb.has-no-entry-nothing-to-remove", name=name)
    for router in silent:
        message = Message("verb.did-not-answer", told=message, router=router)
    return message


async def promote(
    context: Context, caller: Caller | None, request: PromoteRequest, preview: bool
) -> Done | Consequence:
    snapshot = context.poller.snapshot
    service_id = known_id(snapshot, request.service_id)
    _no_router(service_id, request.service_id)
    if preview:
        return consequence(preview_routing.of_promote(snapshot, service_id), caller)
    name = preview_routing.name_of(snapshot, service_id)
    text = Message("audit.promote", name=name)
    async with audited(context, caller, "promote", name, text) as written, context.poller.changing:
        group = preview_routing.group_of(await context.poller.with_tables(), service_id)
        detail = await context.poller.source.promote(service_id, who(caller).get("by", ""))
        written.text = audit_texts.promoted(name, int(detail["epoch"]))
    former = group.master if group is not None else None
    undo = PromoteRequest(service_id=former) if former not in (None, service_id) else None
    return _done(caller, Message("verb.is-asked-to-be-the-master", name=name), detail, undo=undo)


async def close(
    context: Context, caller: Caller | None, request: CloseRequest, preview: bool
) -> Done | Consequence:
    snapshot = context.poller.snapshot
    row = next(
        (row for row in snapshot.connections if (row.router, row.token) == (request.router, request.token)),
        None,
    )
    if row is None:
        if request.router not in [router.name for router in snapshot.routers]:
            raise not_found("router", request.router, [router.name for router in snapshot.routers])
        known = [str(row.token) for row in snapshot.connections if row.router == request.router]
        raise not_found(f"connection at {request.router} with token", str(request.token), known)
    if preview:
        return consequence(preview_processes.of_close(snapshot, request.router, request.token), caller)
    name = row.name or row.peer
    async with audited(context, caller, "close", name, audit_texts.closed(name, request.router)):
        detail = await context.poller.source.close_connection(request.router, request.token)
    closed = Message("verb.the-connection-of-at-is-closed", name=name, router=request.router)
    return _done(caller, closed, detail)


_AT_ROUTERS: Final[Mapping[str, Callable[..., Awaitable[Registered | Done | Consequence]]]] = {
    "register": register,
    "promote": promote,
    "close": close,
}


async def run(
    verb: Verb, context: Context, caller: Caller | None, request: Any, preview: bool
) -> Registered | Done | Consequence:
    """Carry out a verb of the table, or preview it."""
    if verb.via == "routers":
        return await _AT_ROUTERS[verb.name](context, caller, request, preview)
    snapshot = context.poller.snapshot
    subject, values = _checked(snapshot, verb, request)
    if preview:
        return consequence(preview_processes.PREVIEWS[verb.name](snapshot, subject, *values.values()), caller)
    text = Message(verb.audit, name=subject, **values)
    async with audited(context, caller, verb.name, subject, text, "launcher"):
        if verb.takes_long:
            return await _work(context, caller, verb, subject, values)
        detail = await context.poller.source.tell(verb.name, subject, *values.values(), who(caller))
    done = of_map(detail.get("message")) if isinstance(detail, dict) else None
    return _done(caller, done or text, detail)


def _checked(snapshot: Snapshot, verb: Verb, request: Any) -> tuple[str, dict[str, Any]]:
    """Subject and further values by name, checked. Raises 404 for an unknown subject, 422 for an unknown signal."""
    if verb.takes is Takes.COUNT:
        known_name(snapshot, request.service, snapshot.services())
        if request.service in NEVER_SCALED:
            raise Refused.coded(Message("verb.is-not-scaled-only-services", service=request.service))
        return request.service, {"instances": request.instances}
    known_name(snapshot, request.name, snapshot.names())
    if verb.takes is not Takes.SIGNAL:
        return request.name, {}
    try:
        return request.name, {"signal": signals.name_of(request.signal)}
    except Refused as error:
        raise bad_input("signal", explain(error)) from None


async def _work(
    context: Context, caller: Caller | None, verb: Verb, name: str, values: Mapping[str, Any]
) -> Done:
    """Run a long operation of the launcher as a job. Returns when it has begun, or is done."""
    work = context.poller.source.tell(
        verb.name, name, *values.values(), {**who(caller), "wait": True}, timeout=WORK_TIMEOUT_S
    )
    wanted = values.get("instances")
    number, result = await context.jobs.begin(verb.name, name, work, context.poller.snapshot, wanted)
    if result is None:
        begun = "verb.begun" if wanted is None else "verb.scale-to-begun"
        return _done(caller, Message(begun, verb=word(verb.name), name=name, wanted=wanted), job=number)
    if isinstance(result, dict) and not result.get("ok", True):
        raise ApiError(502, of_map(result.get("message")) or Message.verbatim(str(result.get("text", ""))))
    done = "verb.done" if wanted is None else "verb.scale-to-done"
    return _done(caller, Message(done, verb=word(verb.name), name=name, wanted=wanted), result)


async def logs(context: Context, name: str, lines: int, since: str = "") -> LogLines:
    """The newest lines of one process; none from before `since`, RFC 3339 in UTC."""
    snapshot = context.poller.snapshot
    names = [process.name for process in snapshot.processes]
    of_service = [process.name for process in snapshot.services().get(name, ())]
    if name not in names and of_service:
        message = Message("verb.is-a-service-name-one", name=name, names=", ".join(of_service))
        raise ApiError(404, message)
    known_name(snapshot, name, names)
    answer = await context.poller.source.ask("logs", [name], lines, *([since] if since else []))
    return LogLines(name=name, lines=tuple(log_lines(answer)))


def log_lines(answer: Any) -> Iterable[LogLine]:
    """What the launcher tells of a log; also bare texts."""
    for line in answer or ():
        yield LogLine.model_validate(line) if isinstance(line, Mapping) else LogLine(line=str(line))


def known_name(snapshot: Snapshot, name: str, names: Iterable[str]) -> None:
    """Check a name. Raises 404 with a suggestion, or 503 when no names are known without the launcher."""
    known = list(names)
    if name in known:
        return
    if not known and snapshot.launcher_error is not None:
        raise no_launcher(snapshot)
    raise not_found("verb.process-or-service", name, known)


def known_id(snapshot: Snapshot, given: str) -> str:
    """`2.1` for `2.1` or `mail.1`. An id is known when a router holds it, a connection says it, or the launcher runs it."""
    ids = {slot.service_id: slot.name for group in snapshot.groups() for slot in group.slots}
    ids |= {row.service_id: row.name for row in snapshot.connections if row.service_id and row.token}
    ids |= {process.service_id: process.name for process in snapshot.processes if process.service_id}
    for service_id, name in ids.items():
        if given in (service_id, name):
            return service_id
    if not ids and not snapshot.routed:
        raise no_router(snapshot)
    raise not_found("service id", given, ids.values())


def _no_router(service_id: str, given: str) -> None:
    if service_id.startswith("0."):
        raise Refused.coded(Message("verb.is-a-router-only-services", name=given))


def consequence(effects: preview_routing.Preview, caller: Caller | None) -> Consequence:
    """Preview in the caller's language."""
    title, sentences, danger = effects
    language = spoken_by(caller)
    return Consequence(
        title=title.to(language),
        sentences=tuple(sentence.to(language) for sentence in sentences),
        danger=danger,
    )


def spoken_by(caller: Caller | None) -> str:
    """Language of a caller; English for a program that names none."""
    return caller.language if caller else "en"


def _done(
    caller: Caller | None,
    text: Message,
    detail: Any = None,
    job: int | None = None,
    undo: PromoteRequest | None = None,
) -> Done:
    return Done(done=text.to(spoken_by(caller)), detail=detail, job=job, undo=undo)
