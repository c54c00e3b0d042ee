"""A service: handlers on the bus, an id, and (where its group has a master) a candidature for the lease."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from luabus import option_checks, shutdown_signals, tasks
from luabus.client.bus import Bus
from luabus.client.membership import Identity
from luabus.environment import Environment
from luabus.errors import ConfigError, IdInUse, LuabusError, NoMaster, NotConnected, Refused
from luabus.ids import ServiceId
from luabus.limits import DRAIN_TIMEOUT_S, MAX_CONCURRENCY, MOMENT_S
from luabus.log_setup import setup_logging
from luabus.logs import Log
from luabus.messages import Message
from luabus.rpc.context import CallContext, caller, current
from luabus.rpc.dispatcher import Dispatcher
from luabus.service.drain import Drain
from luabus.service.finish import Finish
from luabus.service.hooks import Deadline, Hooks, interrupting, within
from luabus.service.interruption import Interruption
from luabus.service.owned_keys import KeyOwner, OwnedKeys
from luabus.service.refusals import Refusals
from luabus.service.settings import Settings
from luabus.transport.loops import run_program

if TYPE_CHECKING:
    from luabus.service.leadership import Leadership  # elections are imported by those who stand for one

log = Log("luabus.service")

F = TypeVar("F", bound=Callable[..., Any])

_SAY_AGAIN_S = 10.0
"""So often it is said that a service waits for a router."""
_STARTED_ALREADY = "this service has been started already"
_LAST_MOMENTS_S = 4.0
"""After the drain time-out each thing that is left has a moment; then the process of a program goes in any case."""


class Service(KeyOwner):
    """One instance of a service.

    `name` of the group; `group` its number (1..255), `instance` (1..65535): given here or by the launcher's environment, as
    are `routers`, `secret` (or `secret_file`, or `key_file` with the key of this service alone),
    and `lease` (a store's URL). `mode="master"`, or a handler for `on_master`, makes the instance stand for election.
    `frame_limit`: bytes of the longest message; `compress_above`: bytes from which bodies are compressed (None: never).
    `max_concurrency`: calls handled at once, beyond which callers get `Overloaded`. `check_types`: validate arguments by the
    handlers' annotations. `drain_timeout`: seconds that running calls get to finish in `stop`. Nothing happens before `start`
    or `run`.
    """

    def __init__(
        self,
        name: str = "",
        *,
        group: int | None = None,
        instance: int | None = None,
        routers: Iterable[str] | None = None,
        secret: bytes | str | None = None,
        secret_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        mode: str = "",
        groups: Mapping[str, int] | None = None,
        lease: str = "",
        lease_ttl: float | None = None,
        lease_renew: float | None = None,
        frame_limit: int | None = None,
        compress_above: int | None = None,
        max_concurrency: int = MAX_CONCURRENCY,
        check_types: bool = False,
        drain_timeout: float = DRAIN_TIMEOUT_S,
    ) -> None:
        option_checks.check(max_concurrency=max_concurrency, drain_timeout=drain_timeout)
        option_checks.check_type("check_types", check_types, bool, what="True or False")
        self.name = name
        self.service_id: ServiceId | None = None
        self._settings = Settings(
            name=name, group=group, instance=instance,
            routers=None if routers is None else option_checks.texts("routers", routers),
            secret=secret, secret_file=secret_file, key_file=key_file, mode=mode, groups=groups, lease=lease,
            lease_ttl=lease_ttl, lease_renew=lease_renew, frame_limit=frame_limit, compress_above=compress_above,
        )  # fmt: skip
        self.handlers = Dispatcher(
            name or "service", max_concurrency=max_concurrency, check_types=check_types, gate=self._gate
        )
        self.bus = Bus(self.handlers, refused=self._was_refused)
        self.mastership: Leadership | None = None
        self.drain_timeout = drain_timeout
        self._hooks = Hooks()
        self._running = False
        self._stopping: asyncio.Task[None] | None = None
        self._finish = Finish()
        self._interruption = Interruption(self.finish)
        self.handlers.word(self._poll_now, "luabus.look")
        for handler, word in (
            (self._describe, "luabus.methods"), (self._lease_facts, "luabus.lease"), (lambda: None, "luabus.ping"),
        ):  # fmt: skip
            self.handlers.word(handler, word)
            self.bus.hear(word, handler)
        self.bus.hear("luabus.hand_over", self._hand_over)
        self._keys = OwnedKeys(
            lambda: self.bus.preferred_router,
            lambda gained, lost: interrupting(self._hooks.tell("keys_moved", gained, lost)),
        )
        self.bus.hear("luabus.members", self._keys.tell)
        self.bus.on_router(lambda *_: self._keys.look_soon())
        self._refusals = Refusals(self.bus)
        self.handlers.refused = self._refusals.note
        self.bus.hear("luabus.access", self.handlers.access.tell)
        self.bus.hear("luabus.caller", self.handlers.access.tell_caller)
        self.bus.on_router(
            lambda *_: self.handlers.access.keep(
                link.stream.token for link in self.bus.routers if link.stream is not None
            )
        )

    # --- decorators -------------------------------------------------------------------------------------------

    def rpc(self, fn: Any = None, *, name: str | None = None, check_types: bool | None = None) -> Any:
        """Make a function callable over the bus under its own name, or `name`. `async def` or plain `def`."""
        if fn is None:
            return self.handlers.rpc(None, name=name, check_types=check_types)
        return self.handlers.rpc(fn, name=name, check_types=check_types)

    def on_start(self, fn: F) -> F:
        """Run before the instance registers: the bus is there, and nobody calls yet."""
        self._hooks.add("start", fn)
        return fn

    def on_stop(self, fn: F) -> F:
        """Run after the last call has been handled; the bus is still there."""
        self._hooks.add("stop", fn)
        return fn

    def on_master(self, fn: F) -> F:
        """Run when this instance has become its group's master."""
        self._hooks.add("master", fn)
        return fn

    def on_slave(self, fn: F) -> F:
        """Run when this instance is master no longer."""
        self._hooks.add("slave", fn)
        return fn

    def is_master(self) -> bool:
        """Whether this instance is master at this moment; computed from the lease's deadline at each use."""
        return self.mastership is not None and self.mastership.is_master()

    def epoch(self) -> int:
        """The epoch under which this instance is master at this moment, to be written with what it writes elsewhere; 0 when it
        is not."""
        return 0 if self.mastership is None else self.mastership.epoch()

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self, timeout: float | None = 10.0) -> None:
        """Connect, run `on_start`, register with all routers, stand for election.

        Raises `ConfigError` for what is missing, `NotConnected` when no router can be reached within `timeout` seconds (None
        waits for ever, and says so in the log each 10 s), `IdInUse` when a newer process has this id.
        """
        if self._running or self._finish.is_expected:
            raise ConfigError(_STARTED_ALREADY)
        await self._start(timeout)

    async def _start(self, timeout: float | None) -> None:
        environment = Environment.read()
        settings = self._settings
        identity = settings.identity(environment)
        identity = replace(identity, follows=identity.follows or self._hooks.has("keys_moved"))
        security = settings.security(environment)
        self.service_id = identity.service_id
        self.name = identity.name
        if settings.name and settings.name != identity.name:
            log.info("this is %r here, as in cluster.toml; its code says %r", identity.name, settings.name)
        self.handlers.rename(f"{identity.name}.{identity.service_id.instance}")
        self.handlers.group = identity.service_id.group
        self._running = True
        self._drain = Drain(self.handlers, lambda: self.bus.names)
        try:
            await self.bus.start(
                settings.addresses(environment),
                groups={**settings.known_groups(environment), identity.name: identity.service_id.group},
                security=security,
                options=settings.stream_options(environment),
            )
            await _first_router(self.bus, self.handlers.name, timeout)
            await self._hooks.run("start")
            self._check_not_stopped()
            untold = Message("refusal.keys-not-followed", name=self.handlers.name, route=identity.mode)
            self._keys.begin(identity.service_id, None if identity.follows else untold)
            await self.bus.membership.join(identity, timeout)
            self._check_not_stopped()
            await self._stand(identity, environment)
        except BaseException:
            if self._stopping is not None:
                await tasks.ended([self._stopping], None)
            elif self._running:
                await self._teardown()
            raise
        log.info(
            "%s (%s) is ready",
            identity.service_id.named({identity.service_id.group: identity.name}),
            identity.service_id,
        )

    async def stop(self) -> None:
        """Take no more calls, finish those that run (for `drain_timeout` seconds at most), run `on_stop`, leave.

        Hooks share that time, and have a second at least; what does not end in it is named in the log, cancelled, and left. A
        handler may await this: it goes on when all others have ended and `on_stop` has run, and its answer is still sent. In a
        hook that runs while the service stops it returns at once.
        """
        if not self._running:
            return
        self.bus.check_use()
        asker = self.handlers.inside()
        if self._stopping is None:
            self._stopping = tasks.start(self._stop_in_order(), name="luabus stop", awaited=True)
            if asker is not None:
                self._stopping.add_done_callback(_log_failure)
        elif self._hooks.is_inside() or tasks.is_inside(self._stopping):
            return
        stopping = self._stopping
        if asker is not None:
            await self._drain.ask(asker)
            return
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await tasks.end([stopping], None)
            raise

    async def _stop_in_order(self) -> None:
        current.set(None)  # also where a handler has asked for it
        deadline = Deadline(self.drain_timeout)
        try:
            if self.mastership is not None:
                await within(deadline, self.mastership.stop(), "giving the lease up")
            await within(deadline, self.bus.membership.leave(), "leaving the routers")
            await within(deadline, self._keys.leave(), "on_keys_moved")
            await self._drain.others(deadline, self.drain_timeout)
            await self._hooks.run("stop", deadline)
            await self._drain.askers(deadline)
        finally:
            try:
                await self._teardown()
            finally:
                self._stopping = None
                self.finish()

    async def __aenter__(self) -> Service:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, with logging set up; returns after an orderly stop. A router is waited for without end.

        A second signal ends the process at once, with 128 + its number as exit code; so does the first, a few seconds after
        `drain_timeout`, when something holds the process up all the same, a thread of the program too. In a thread other than
        the main one signals are left alone: `finish` ends it.
        """
        environment = Environment.read()
        setup_logging(environment.log_level, supervised=environment.supervised)
        run_program(self._serve(self.drain_timeout + _LAST_MOMENTS_S))

    async def serve(self) -> None:
        """Start, and run until a signal, `finish()`, `stop()`, or a newer process with this id; then stop.

        Where a handler or hook raises `SystemExit` or `KeyboardInterrupt`, that is raised here, after the orderly stop. Several
        may be served in one process: a signal ends all of them. The program's own signal handlers are back afterwards. Raises
        `ConfigError` where it is served or has been started already, which goes on.
        """
        await self._serve(None)

    async def _serve(self, limit_s: float | None) -> None:
        finish = self._finish
        if self._running or finish.is_expected:
            raise ConfigError(_STARTED_ALREADY)
        with finish.expected(), self._interruption, shutdown_signals.hearing(finish.ask, limit_s=limit_s):
            starting = asyncio.create_task(self._start(timeout=None))
            finishing = asyncio.create_task(finish.asked())
            try:
                await asyncio.wait((starting, finishing), return_when=asyncio.FIRST_COMPLETED)
                if starting.done() and not finish.is_asked():
                    await starting
                    await finishing
            finally:
                finishing.cancel()
                if not self._running:  # its own hook has stopped it
                    await tasks.ended([starting], MOMENT_S)
                hooks = ", ".join(self._hooks.running)
                if await tasks.end([starting], self.drain_timeout):
                    log.warning("%s goes on although it was cancelled, and is left behind", hooks)
                await self.stop()
        if finish.error is not None:
            raise finish.error

    def finish(self) -> None:
        """Let `serve` or `run` come to its end. May be called from any thread."""
        self._finish.ask()

    # --- inside -----------------------------------------------------------------------------------------------

    async def _stand(self, identity: Identity, environment: Environment) -> None:
        """Stand for election if the group has a master."""
        if identity.mode != "master" and not self._hooks.has("master", "slave"):
            return
        options = self._settings.lease_options(environment)
        from luabus.service.leadership import Leadership

        self.mastership = Leadership(
            self.bus,
            identity,
            options,
            on_master=lambda: interrupting(self._hooks.run("master")),
            on_slave=lambda: interrupting(self._hooks.run("slave")),
        )
        await self.mastership.start()

    async def _teardown(self) -> None:
        deadline = Deadline(MOMENT_S)
        if self.mastership is not None:
            await within(deadline, self.mastership.stop(), "giving the lease up")
        await self._drain.close()
        self._refusals.stop()
        await self.bus.close(MOMENT_S)
        self.mastership = None
        self._keys.end()
        self._running = False

    def _check_not_stopped(self) -> None:
        if self._stopping is not None or not self._running:
            raise Refused(f"{self.handlers.name} was stopped while it started")

    def _was_refused(self, error: LuabusError) -> None:
        if isinstance(error, IdInUse):
            log.error("%s; this process stops", error)
            self._finish.ask(error)

    def _gate(self, kind: int, call: CallContext) -> LuabusError | None:
        refusal = self.mastership.gate(kind) if self.mastership is not None else None
        if refusal is not None or not call.epoch:
            return refusal
        from luabus.service.leadership import fence

        return fence(self.bus, call)

    async def _hand_over(self, service_id: int, by: str = "") -> None:
        """Give the lease up in favour of another instance (`promote`): only routers can say so."""
        if self.mastership is None:
            raise NoMaster(f"{self.handlers.name} stands for no election")
        await self.mastership.hand_over(ServiceId(service_id), by)

    def _poll_now(self) -> None:
        """One of our group has given the lease up: look now."""
        if self.mastership is not None and caller().group == self.handlers.group:
            self.mastership.poll_now()

    def _lease_facts(self) -> dict[str, Any] | None:
        """What this instance knows about its group's lease; None when it does not stand for election."""
        if self.mastership is None:
            return None
        facts = asdict(self.mastership.snapshot())
        return {name: int(value) if isinstance(value, ServiceId) else value for name, value in facts.items()}

    def _describe(self) -> list[dict[str, Any]]:
        """Every method of this service: name, parameters, docstring, counters."""
        return [
            {**method.describe(), "stats": method.stats.snapshot()}
            for name, method in sorted(self.handlers.methods.items())
            if not name.startswith("luabus.")
        ]


def _log_failure(stopping: asyncio.Task[None]) -> None:
    """Nobody may await a stop that a handler has asked for."""
    if not stopping.cancelled() and (error := stopping.exception()) is not None:
        log.failure("the stop failed", error=error)


async def _first_router(bus: Bus, name: str, timeout: float | None) -> None:
    while True:
        try:
            await bus.ready(_SAY_AGAIN_S if timeout is None else timeout)
            return
        except NotConnected as error:
            if timeout is not None:
                raise
            log.warning("%s waits for a router: %s", name, error)
