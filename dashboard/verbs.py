"""The verbs: check the names, say what would happen or do it, write down who did it, look again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from dashboard.context import Caller, Context
from dashboard.model import (
    CloseAsked,
    Consequence,
    Done,
    KillAsked,
    LogLines,
    PromoteAsked,
    RegisterAsked,
    Registered,
    ScaleAsked,
)
from dashboard.problems import ApiError, not_found
from dashboard.render import consequences
from dashboard.snapshot import Snapshot
from dashboard.texts import Text
from luabus.errors import LuabusError

WORK_TIMEOUT_S: Final = 3600.0
"""A rolling restart of many slow starters takes its time; the launcher goes on when nobody waits."""
NOTE_TIMEOUT_S: Final = 1.0
"""A launcher that hangs does not hold up what has been done already."""


async def register(
    context: Context, caller: Caller | None, asked: RegisterAsked, preview: bool
) -> Registered | Consequence:
    """`*` is every router. Unknown ids and routers are 404; what a router refuses is 409, in its own words."""
    snapshot = context.feed.snapshot
    service_id = known_id(snapshot, asked.service_id)
    if asked.router != "*" and asked.router not in [router.name for router in snapshot.routers]:
        raise not_found("router", asked.router, [router.name for router in snapshot.routers])
    asked = asked.model_copy(update={"service_id": service_id})
    if preview:
        return consequence(consequences.of_register(snapshot, asked), caller)
    name = consequences.name_of(snapshot, service_id)
    done = {None: "remove", 0: "vacate"}.get(asked.token, "register") if asked.token != "own" else "register"
    text = f"{'make master' if asked.is_master else done} {name} at {'every router' if asked.router == '*' else asked.router}"
    async with Written(context, caller, "register", name, text), context.feed.changing:
        undo = consequences.undo_of(await context.feed.with_tables(), asked)
        results = await context.feed.source.register(service_id, asked.token, asked.is_master, asked.router)
    if asked.is_master:
        what = Text("{name} is master", name=name)
    elif asked.token is None:
        what = Text("{name} is removed", name=name)
    else:
        what = Text("{name} is registered" if asked.token else "{name} is vacant", name=name)
    where = Text("every router") if asked.router == "*" else asked.router
    told = Text("{what}: done at {where}", what=what, where=where)
    language = caller.language if caller else "en"
    return Registered(done=told.to(language), service_id=service_id, results=results, undo=undo)


async def promote(
    context: Context, caller: Caller | None, asked: PromoteAsked, preview: bool
) -> Done | Consequence:
    snapshot = context.feed.snapshot
    service_id = known_id(snapshot, asked.service_id)
    if preview:
        return consequence(consequences.of_promote(snapshot, service_id), caller)
    name = consequences.name_of(snapshot, service_id)
    async with Written(context, caller, "promote", name, f"promote {name} to master"):
        detail = await context.feed.source.promote(service_id, _who(caller).get("by", ""))
    return _done(caller, Text("{name} is asked to be the master", name=name), detail)


async def close(
    context: Context, caller: Caller | None, asked: CloseAsked, preview: bool
) -> Done | Consequence:
    snapshot = context.feed.snapshot
    row = next(
        (row for row in snapshot.connections if (row.router, row.token) == (asked.router, asked.token)), None
    )
    if row is None:
        if asked.router not in [router.name for router in snapshot.routers]:
            raise not_found("router", asked.router, [router.name for router in snapshot.routers])
        known = [str(row.token) for row in snapshot.connections if row.router == asked.router]
        raise not_found(f"connection at {asked.router} with token", str(asked.token), known)
    if preview:
        return consequence(consequences.of_close(snapshot, asked.router, asked.token), caller)
    name = row.name or row.peer
    async with Written(context, caller, "close", name, f"close the connection of {name} at {asked.router}"):
        detail = await context.feed.source.close_connection(asked.router, asked.token)
    closed = Text("the connection of {name} at {router} is closed", name=name, router=asked.router)
    return _done(caller, closed, detail)


async def kill(
    context: Context, caller: Caller | None, asked: KillAsked, preview: bool
) -> Done | Consequence:
    snapshot = context.feed.snapshot
    known_name(snapshot, asked.name, snapshot.names())
    if preview:
        return consequence(consequences.of_kill(snapshot, asked.name, asked.signal), caller)
    async with Written(
        context, caller, "kill", asked.name, f"send {asked.signal} to {asked.name}", "launcher"
    ):
        detail = await context.feed.source.tell("kill", asked.name, asked.signal, _who(caller))
    return _done(caller, Text("{signal} was sent to {name}", signal=asked.signal, name=asked.name), detail)


async def steer(
    context: Context, caller: Caller | None, verb: str, name: str, preview: bool
) -> Done | Consequence:
    """`start`, `stop` and `restart`."""
    snapshot = context.feed.snapshot
    known_name(snapshot, name, snapshot.names())
    if preview:
        if verb == "start":
            said = Text("Start {name}?", name=name), [Text("What runs already is left alone.")], False
            return consequence(said, caller)
        return consequence(consequences.of_stop(snapshot, name, restart=verb == "restart"), caller)
    async with Written(context, caller, verb, name, f"{verb} {name}", "launcher"):
        return await _work(context, caller, verb, name)


async def scale(
    context: Context, caller: Caller | None, asked: ScaleAsked, preview: bool
) -> Done | Consequence:
    snapshot = context.feed.snapshot
    services = snapshot.services()
    known_name(snapshot, asked.service, services)
    now = len(services.get(asked.service, ()))
    if preview:
        return consequence(consequences.of_scale(snapshot, asked.service, now, asked.instances), caller)
    async with Written(
        context,
        caller,
        "scale",
        asked.service,
        f"scale {asked.service} from {now} to {asked.instances}",
        "launcher",
    ):
        return await _work(context, caller, "scale", asked.service, asked.instances)


async def _work(
    context: Context, caller: Caller | None, verb: str, name: str, wanted: int | None = None
) -> Done:
    """Have the launcher do what takes a while, as a job. Answers when it has begun, or sooner when it is done sooner."""
    who = {**_who(caller), "wait": True}
    args = (name, who) if wanted is None else (name, wanted, who)
    work = context.feed.source.tell(verb, *args, timeout=WORK_TIMEOUT_S)
    number, result = await context.jobs.begin(verb, name, work, context.feed.snapshot, wanted)
    if result is None:
        begun = "{verb} {name}: begun" if wanted is None else "scale {name} to {wanted}: begun"
        return _done(caller, Text(begun, verb=Text(verb), name=name, wanted=wanted), job=number)
    if isinstance(result, dict) and not result.get("ok", True):
        raise ApiError(502, str(result.get("text", "it failed")))
    done = "{verb} {name}: done" if wanted is None else "scale {name} to {wanted}: done"
    return _done(caller, Text(done, verb=Text(verb), name=name, wanted=wanted), result)


async def logs(context: Context, name: str, lines: int) -> LogLines:
    """The newest lines of one process."""
    snapshot = context.feed.snapshot
    known_name(snapshot, name, [process.name for process in snapshot.processes])
    answer = await context.feed.source.ask("logs", [name], lines)
    return LogLines(name=name, lines=tuple(log_texts(answer)))


def log_texts(answer: Any) -> Iterable[str]:
    """The lines in whatever the launcher gives them: texts, or maps with a `line` or `text`."""
    for line in answer or ():
        if isinstance(line, dict):
            yield str(line.get("line", line.get("text", "")))
        elif isinstance(line, list | tuple):
            yield str(line[-1]) if line else ""
        else:
            yield str(line)


def known_name(snapshot: Snapshot, name: str, names: Iterable[str]) -> None:
    """404 with a suggestion, or 503 when nobody could know."""
    known = list(names)
    if name in known:
        return
    if not known and snapshot.launcher_error is not None:
        raise ApiError(503, f"the launcher does not answer: {snapshot.launcher_error}", error="NotConnected")
    raise not_found("process or service", name, known)


def known_id(snapshot: Snapshot, given: str) -> str:
    """`2.1` for `2.1` or `mail.1`. An id is known when a router holds it, a connection says it, or the launcher runs it."""
    ids = {slot.service_id: slot.name for group in snapshot.groups() for slot in group.slots}
    ids |= {row.service_id: row.name for row in snapshot.connections if row.service_id and row.token}
    ids |= {process.service_id: process.name for process in snapshot.processes if process.service_id}
    for service_id, name in ids.items():
        if given in (service_id, name):
            return service_id
    if not ids and not snapshot.routed:
        raise ApiError(
            503,
            f"no router answers: {snapshot.bus_error or 'all connections are lost'}",
            error="NotConnected",
        )
    raise not_found("service id", given, [*ids.values(), *ids])


def consequence(said: consequences.Said, caller: Caller | None) -> Consequence:
    """In the language of who asks; English for a program that names none."""
    title, sentences, danger = said
    language = caller.language if caller else "en"
    return Consequence(
        title=title.to(language),
        sentences=tuple(sentence.to(language) for sentence in sentences),
        danger=danger,
    )


def _done(caller: Caller | None, text: Text, detail: Any = None, job: int | None = None) -> Done:
    return Done(done=text.to(caller.language if caller else "en"), detail=detail, job=job)


def _who(caller: Caller | None) -> dict[str, str]:
    return {"by": f"{caller} (dashboard)", "from": caller.address} if caller else {}


class Written:
    """Has the event written whether the verb succeeds or not, and has the feed look again: what is asked after the answer
    shows the change.

    Changes of the cluster are in one log, the launcher's: what it did it writes down itself, with who asked; what was done at
    the routers it is told; and the journal gets both from there. Refusals, requests that were sent, and what no launcher can
    be told are in the journal alone.
    """

    def __init__(
        self,
        context: Context,
        caller: Caller | None,
        kind: str,
        subject: str,
        text: str,
        where: Literal["launcher", "routers", "bus"] = "routers",
    ) -> None:
        self._where = where
        self._context = context
        self._caller = caller
        self._event = (kind, subject)
        self._text = text

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        by, origin = (str(self._caller), self._caller.address) if self._caller else ("", "")
        if error is None:
            if self._where == "bus" or (self._where == "routers" and not await self._noted()):
                self._context.journal.add(*self._event, self._text, by=by, origin=origin)
        elif isinstance(error, LuabusError):
            self._context.journal.add(*self._event, f"{self._text}: refused: {error}", "warn", by, origin)
        if self._where != "bus":
            await self._context.feed.after_change()

    async def _noted(self) -> bool:
        """Whether the launcher took it into its event log."""
        _, subject = self._event
        tell = self._context.feed.source.tell
        try:
            await tell("note", subject, self._text, _who(self._caller), timeout=NOTE_TIMEOUT_S)
        except LuabusError:
            return False
        return True
