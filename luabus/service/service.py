"""A service: handlers on the bus, an id, and (where its group has a master) a candidature for the lease."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from luabus.client.bus import Bus
from luabus.client.membership import Identity
from luabus.environment import Environment
from luabus.errors import ConfigError, IdInUse, LuabusError, NoMaster, NotConnected
from luabus.exception_text import FATAL
from luabus.ids import ServiceId
from luabus.limits import DRAIN_TIMEOUT_S, MAX_CONCURRENCY
from luabus.log_setup import setup_logging
from luabus.rpc.context import CallContext, caller
from luabus.rpc.dispatcher import Dispatcher
from luabus.rpc.loop_monitor import Activity
from luabus.service.interruption import Interruption
from luabus.service.refusals import Refusals
from luabus.service.settings import Settings
from luabus.transport.loops import new_event_loop

if TYPE_CHECKING:
    from luabus.service.leadership import Leadership  # elections are imported by those who stand for one

log = logging.getLogger("luabus.service")

F = TypeVar("F", bound=Callable[..., Any])

_SAY_AGAIN_S = 10.0
"""So often it is said that a service waits for a router."""


class Service:
    """One instance of a service.

    `name` of the group; `group` its number (1..255), `instance` (1..65535): given here or by the launcher's environment, as
    are `routers`, `secret` (or `secret_file`, or `key_file` with the key of this service alone), `slots` (hash slots of the
    group) and `lease` (a store's URL). `mode="master"`, or a handler for `on_master`, makes the instance stand for election.
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
        slots: int | None = None,
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
        self.name = name
        self.service_id: ServiceId | None = None
        self._settings = Settings(
            name=name, group=group, instance=instance,
            routers=[routers] if isinstance(routers, str) else None if routers is None else list(routers),
            secret=secret, secret_file=secret_file, key_file=key_file, slots=slots, mode=mode, groups=groups, lease=lease,
            lease_ttl=lease_ttl, lease_renew=lease_renew, frame_limit=frame_limit, compress_above=compress_above,
        )  # fmt: skip
        self.handlers = Dispatcher(
            name or "service", max_concurrency=max_concurrency, check_types=check_types, gate=self._gate
        )
        self.bus = Bus(self.handlers, refused=self._was_refused)
        self.mastership: Leadership | None = None
        self.drain_timeout = drain_timeout
        self._hooks: dict[str, list[Callable[..., Any]]] = {
            "start": [],
            "stop": [],
            "master": [],
            "slave": [],
        }
        self._running = False
        self._finish: asyncio.Event | None = None
        self._refused: LuabusError | None = None
        self._interruption = Interruption(self.finish)
        self.handlers.word(self._poll_now, "luabus.look")
        for handler, word in (
            (self._describe, "luabus.methods"), (self._lease_facts, "luabus.lease"), (lambda: None, "luabus.ping"),
        ):  # fmt: skip
            self.handlers.word(handler, word)
            self.bus.hear(word, handler)
        self.bus.hear("luabus.hand_over", self._hand_over)
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
        self._hooks["start"].append(fn)
        return fn

    def on_stop(self, fn: F) -> F:
        """Run after the last call has been handled; the bus is still there."""
        self._hooks["stop"].append(fn)
        return fn

    def on_master(self, fn: F) -> F:
        """Run when this instance has become its group's master."""
        self._hooks["master"].append(fn)
        return fn

    def on_slave(self, fn: F) -> F:
        """Run when this instance is master no longer."""
        self._hooks["slave"].append(fn)
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
        if self._running:
            raise ConfigError("this service has been started already")
        environment = Environment.read()
        settings = self._settings
        identity = settings.identity(environment)
        security = settings.security(environment)
        self.service_id = identity.service_id
        self.name = identity.name
        self.handlers.rename(f"{identity.name}.{identity.service_id.instance}")
        self.handlers.group = identity.service_id.group
        self._running = True
        try:
            await self.bus.start(
                settings.addresses(environment),
                groups={**settings.known_groups(environment), identity.name: identity.service_id.group},
                security=security,
                options=settings.stream_options(environment),
            )
            await self._first_router(timeout)
            await self._run_hooks("start")
            await self.bus.membership.join(identity, timeout)
            await self._stand(identity, environment)
        except BaseException:
            await self._teardown()
            raise
        log.info(
            "%s (%s) is ready",
            identity.service_id.named({identity.service_id.group: identity.name}),
            identity.service_id,
        )

    async def _first_router(self, timeout: float | None) -> None:
        while True:
            try:
                await self.bus.ready(_SAY_AGAIN_S if timeout is None else timeout)
                return
            except NotConnected as error:
                if timeout is not None:
                    raise
                log.warning("%s waits for a router: %s", self.handlers.name, error)

    async def stop(self) -> None:
        """Take no more calls, finish those that run (for `drain_timeout` seconds at most), run `on_stop`, leave."""
        if not self._running:
            return
        try:
            if self.mastership is not None:
                await self.mastership.stop()
            await self.bus.membership.leave()
            try:
                async with asyncio.timeout(self.drain_timeout):
                    await self.handlers.idle()
            except TimeoutError:
                log.warning("%d calls are cancelled after %g s", self.handlers.running, self.drain_timeout)
            await self._run_hooks("stop")
        finally:
            await self._teardown()

    async def __aenter__(self) -> Service:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, with logging set up; returns after an orderly stop. A router is waited for without end."""
        environment = Environment.read()
        setup_logging(environment.log_level, supervised=environment.supervised)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            serving = runner.get_loop().create_task(self.serve())
            try:
                runner.run(_done(serving))
            except FATAL as error:  # out of the loop: of a callback or task of the program's own
                if serving.done():
                    raise
                self._interruption.raised(error)
                runner.run(_done(serving))

    async def serve(self) -> None:
        """Start, and run until a signal, `finish()`, or a newer process with this id; then stop.

        Where a handler or hook raises `SystemExit` or `KeyboardInterrupt`, that is raised here, after the orderly stop.
        """
        with self._interruption:
            await self._serve()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self.finish)
            except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
                break
        self._finish = asyncio.Event()
        starting = asyncio.create_task(self.start(timeout=None))
        finishing = asyncio.create_task(self._finish.wait())
        try:
            await asyncio.wait((starting, finishing), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await finishing
        finally:
            finishing.cancel()
            starting.cancel()
            await asyncio.gather(starting, finishing, return_exceptions=True)
            await self.stop()
        if self._refused is not None:
            raise self._refused

    def finish(self) -> None:
        """Let `serve` or `run` come to its end."""
        if self._finish is not None:
            self._finish.set()

    # --- inside -----------------------------------------------------------------------------------------------

    async def _stand(self, identity: Identity, environment: Environment) -> None:
        """Stand for election if the group has a master."""
        if identity.mode != "master" and not self._hooks["master"] and not self._hooks["slave"]:
            return
        options = self._settings.lease_options(environment)
        from luabus.service.leadership import Leadership

        self.mastership = Leadership(
            self.bus,
            identity,
            options,
            on_master=lambda: self._run_hooks("master"),
            on_slave=lambda: self._run_hooks("slave"),
        )
        await self.mastership.start()

    async def _teardown(self) -> None:
        if self.mastership is not None:
            await self.mastership.stop()
        await self.handlers.close()
        self._refusals.stop()
        await self.bus.close()
        self.mastership = None
        self._running = False

    async def _run_hooks(self, which: str) -> None:
        for hook in self._hooks[which]:
            _doing = Activity(f"on_{which}")  # for the loop monitor
            result = hook()
            if inspect.isawaitable(result):
                await result

    def _was_refused(self, error: LuabusError) -> None:
        if isinstance(error, IdInUse):
            log.error("%s; this process stops", error)
            self._refused = error
            self.finish()

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


async def _done(serving: asyncio.Task[None]) -> None:
    await serving
