"""The control channel, launcher's side: the supervisor's views and verbs as RPC over a luabus stream on loopback.

Methods are listed in docs/design.md; all take and return JSON-able values. It does not go through the routers, so
`status` and `down` work when every router is dead. Verbs take a last map `{"by", "from", "wait"}`: the first two for the event
log; `wait` (default false) answers only when the work is done.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

import luabus
from launcher.daemon.status_view import StatusView
from launcher.runtime.log_store import Follower
from launcher.supervision.operations import Names, Operations, Who
from launcher.supervision.reports import Report
from launcher.supervision.supervisor import Supervisor
from luabus import descriptors
from luabus.cluster.control_client import ANSWER_BYTES
from luabus.cluster.verbs import Takes, Verb, launchers
from luabus.errors import Forbidden, LuabusError, Refused
from luabus.messages import Message, of_map

P = ParamSpec("P")
R = TypeVar("R")

MAX_CONTROL_STREAMS: Final = 64
MAX_FOLLOWERS: Final = MAX_CONTROL_STREAMS // 2
MAX_LINES: Final = 10_000
MAX_NOTE: Final = 4000
"""Characters of a note's kind, name, and message in JSON."""
MOST_KILLED: Final = 100
"""Processes of which the last word says that they were killed."""
MAX_TEXT: Final = ANSWER_BYTES // 4
"""Log lines, and characters of log text, in one answer."""


class ControlServer:
    """Serves one supervisor. `start` listens and writes control.json, `close` takes both back."""

    def __init__(self, supervisor: Supervisor, operations: Operations) -> None:
        self._supervisor = supervisor
        self._view = StatusView(supervisor)
        self._operations = operations
        itself = luabus.Principal("launcher", supervisor.plan.name)
        self._mgr = luabus.SocketMgr(MAX_CONTROL_STREAMS, security=supervisor.run_dir.security(itself))
        self._streams: set[luabus.Stream] = set()
        self._api = luabus.Dispatcher("the launcher")
        views = (
            self.status, self.processes, self.process, self.logs, self.follow, self.events, self.follow_events,
        )  # fmt: skip
        for method in (*views, self.note, self.lend):
            self._api.rpc(self._admins_only(method))
        for verb in launchers():
            self._api.rpc(self._admins_only(self._method(verb)), name=verb.name)

    def open(self) -> None:
        """Listens on a free loopback port. Raises OSError when control.json cannot be written."""
        listener = self._mgr.listen("127.0.0.1", 0)
        listener.on_accept = self._serve
        run_dir = self._supervisor.run_dir
        guard = os.getppid() if hasattr(os, "fork") else None
        run_dir.write_record(
            run_dir.control_file, {"guard": guard, "host": "127.0.0.1", "port": listener.port}
        )

    async def close(self) -> None:
        """Ends every connection, each with a last word: without it the launcher was killed."""
        with contextlib.suppress(OSError):
            run_dir = self._supervisor.run_dir
            run_dir.remove_record(run_dir.control_file, os.getpid())
        for stream in self._streams:
            with contextlib.suppress(LuabusError):  # it closes just now
                stream.call("stopped", [str(told) for told in self._supervisor.killed_at_stop[:MOST_KILLED]])
        await self._mgr.close()

    def _serve(self, stream: luabus.Stream) -> None:
        stream.set_send_buffer_size(ANSWER_BYTES)
        self._api.serve(stream)
        self._streams.add(stream)
        self._supervisor.run_task(self._forget(stream), "end of a control connection")

    async def _forget(self, stream: luabus.Stream) -> None:
        with contextlib.suppress(LuabusError):
            await stream.closed()
        self._streams.discard(stream)

    def _admins_only(self, method: Callable[P, R]) -> Callable[P, R]:
        """`method`, for whoever holds the cluster's secret and the services of `access.admin`: `Forbidden` for others."""

        @wraps(method)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            principal = luabus.caller().stream.principal
            services = self._supervisor.plan.config.access.admin
            if principal.role == "admin" or (principal.role == "service" and principal.name in services):
                return method(*args, **kwargs)
            allowed = ["admin", *services]
            told = Message("refusal.launcher-admins-only", caller=str(principal), allowed=", ".join(allowed))
            raise Forbidden.coded(told, caller=str(principal), callee="launcher", allowed=allowed)

        return guarded

    # -- views ------------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        return await self._view.status()

    def processes(self) -> list[dict[str, Any]]:
        return self._view.processes()

    def process(self, name: str) -> dict[str, Any]:
        instances = self._supervisor.resolve(name)
        if len(instances) != 1 or instances[0].name != name:
            names = [instance.name for instance in instances]
            raise Refused.coded(Message("refusal.is-a-service", name=name, names=names))
        return self._view.process(instances[0])

    def logs(
        self, names: str | Sequence[str] | None = None, lines: int = 100, since: str = ""
    ) -> list[dict[str, Any]]:
        """The last lines of these processes or services (none: all), oldest first; none from before `since`, a time as in the
        files."""
        asked_for = max(0, min(int(lines), MAX_LINES))
        found = self._supervisor.logs.tail(self._names(names), asked_for, str(since))
        size, first = 0, len(found)
        while first and (size := size + len(found[first - 1].text)) <= MAX_TEXT:
            first -= 1
        return [line.as_map() for line in found[first:]]

    async def follow(
        self, names: str | Sequence[str] | None = None, lines: int = 10, since: str = ""
    ) -> list[dict[str, Any]]:
        """As `logs`; and from now on `log` calls with a list of lines each, until the stream is closed."""
        supervisor = self._supervisor
        wanted = self._names(names)
        if supervisor.logs.followers >= MAX_FOLLOWERS or descriptors.are_scarce():
            # They stay for long, and somebody must still be able to say `down`.
            raise Refused.coded(Message("refusal.too-many-followers", count=supervisor.logs.followers))
        follower = supervisor.logs.follow(wanted if names else ())
        supervisor.run_task(self._push(luabus.caller().stream, follower), "log follower")
        return self.logs(names, lines, since)

    def events(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        return self._supervisor.events.after(int(after), int(limit))

    def follow_events(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest events; and from now on an `event` call with a list of one for each, until the stream is closed."""
        stream = luabus.caller().stream

        def tell(event: dict[str, Any]) -> None:
            with contextlib.suppress(LuabusError):  # a reader that does not read loses some
                stream.call("event", [event])

        events = self._supervisor.events
        self._supervisor.run_task(self._until_closed(stream, events.listen(tell)), "event follower")
        return events.after(0, int(limit))

    async def _until_closed(self, stream: luabus.Stream, stop: Callable[[], None]) -> None:
        try:
            with contextlib.suppress(LuabusError):
                await stream.closed()
        finally:
            stop()

    # -- verbs ------------------------------------------------------------------------------------------------

    def _method(self, verb: Verb) -> Callable[..., Awaitable[Report]]:
        """The operation of a verb as a method of the channel: its arguments, and last the map that says who asks."""
        operation = getattr(self._operations, verb.name)

        async def of_names(names: Names, who: Who | None = None) -> Report:
            report: Report = await operation(names, who or {}, _wait(who))
            return report

        async def of_signal(names: Names, signal: str | int = "SIGKILL", who: Who | None = None) -> Report:
            report: Report = await operation(names, signal, who or {}, _wait(who))
            return report

        async def of_count(service: str, instances: int, who: Who | None = None) -> Report:
            report: Report = await operation(service, instances, who or {}, _wait(who))
            return report

        async def of_file(dry_run: bool = False, who: Who | None = None) -> Report:
            report: Report = await operation(dry_run, who or {}, _wait(who))
            return report

        async def of_nothing(who: Who | None = None) -> Report:
            report: Report = operation(who or {})
            return report

        methods: dict[Takes, Callable[..., Awaitable[Report]]] = {
            Takes.NAMES: of_names,
            Takes.SIGNAL: of_signal,
            Takes.COUNT: of_count,
            Takes.FILE: of_file,
            Takes.NOTHING: of_nothing,
        }
        return methods[verb.takes]

    async def lend(self, name: str, keep_stopped: bool = False, who: Who | None = None) -> Report:
        """The caller runs an instance in a terminal, for as long as this connection lasts: see `Operations.lend`."""
        ended = luabus.caller().stream.closed
        return await self._operations.lend(str(name), ended, keep_stopped is True, who or {})

    def note(self, kind: str, name: str, message: Any, who: Mapping[str, Any] | None = None) -> None:
        """Writes into the event log what somebody did without the launcher: promote, register by hand, close a connection.

        `message` is `{"code", "values"}`, in JSON no longer than `MAX_NOTE`.
        """
        told = of_map(message)
        if told is None or len(json.dumps(message)) > MAX_NOTE or max(len(kind), len(name)) > MAX_NOTE:
            raise Refused.coded(Message("refusal.no-note", most=MAX_NOTE))
        self._supervisor.events.add(kind, name, told, who)

    # -- within -----------------------------------------------------------------------------------------------

    def _names(self, names: str | Sequence[str] | None) -> list[str]:
        if not names:
            return list(self._supervisor.instances)
        asked = [names] if isinstance(names, str) else names
        return [instance.name for name in asked for instance in self._supervisor.resolve(str(name))]

    async def _push(self, stream: Any, follower: Follower) -> None:
        try:
            while lines := await follower.next():
                stream.call("log", [line.as_map() for line in lines])
                await stream.drained()
        except LuabusError:
            pass  # the reader went away
        finally:
            self._supervisor.logs.unfollow(follower)


def _wait(who: Mapping[str, Any] | None) -> bool:
    return bool(who and who.get("wait"))
