"""Poller: keeps the one snapshot of the cluster that all pages and API clients share, with a version per topic.

A peer that does not answer keeps its last known state. Polls each second while there are watchers, each five without, and at
once when the bus says that a table changed; a changed topic gets a new version and wakes its waiters.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dashboard.collector.cluster_source import Source
from dashboard.collector.rates import ConnectionRates
from luabus.cluster.snapshot import TOPICS, RouterState, Snapshot
from luabus.cluster.state import ConnectionState, GroupState, Launcher, Process, RouterStats
from luabus.errors import LuabusError, explain
from luabus.messages import Message

log = logging.getLogger("dashboard.feed")

WATCHED_S = 1.0
UNWATCHED_S = 5.0
REST_PER_LOOK = 3.0
"""Pause after a poll, at least so many times its processor time: ten thousand rows are polled less often."""
FRESH_S = 1.0
"""Greatest age of the snapshot for a reader without a stream; an older one is polled first, once for all readers."""
PATIENCE_S = 0.25
"""Longest wait of such a reader; then it gets the snapshot as it is, for a peer that hangs is news too."""
AFTER_CHANGE_S = 1.0
"""Longest wait of the answer to a change for the poll that shows it."""
EVENTS_AT_ONCE = 2000
"""As many events as the launcher keeps: after a restart of the dashboard none is left out."""
LEAST_GAP_S = 0.1
"""Least time between two polls, however often the bus says that something changed."""

_groups = TypeAdapter(tuple[GroupState, ...])
_connections = TypeAdapter(tuple[ConnectionState, ...])
_processes = TypeAdapter(tuple[Process, ...])
_stats = TypeAdapter(tuple[RouterStats, ...])
_launcher = TypeAdapter(Launcher)

T = TypeVar("T")

Observer = Callable[[Snapshot, Snapshot, list[Mapping[str, Any]]], None]


class Poller:
    """Polls a source. `snapshot` is the newest state; `changed(versions)` waits until a topic is newer than these versions."""

    def __init__(
        self,
        source: Source,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._now = now
        self._monotonic = monotonic
        self.snapshot = Snapshot(cluster=source.cluster, at=now(), versions=dict.fromkeys(TOPICS, 0))
        self.polls = 0
        self.changing = asyncio.Lock()
        """Held from reading the tables that an undo is made of until the change is done."""
        self.stopped = asyncio.Event()
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None
        self._took_s = 0.0
        self._polled = float("-inf")
        self._kick = asyncio.Event()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._rates = ConnectionRates()
        self._launcher_event = 0
        self._launcher_pid: object = None
        """Called after each poll with the snapshots before and after, and the launcher's events in between."""
        self._observers: list[Observer] = []

    async def start(self) -> None:
        await self.source.start(self.kick)
        await self.poll()
        self._task = asyncio.create_task(self._run(), name="dashboard poller")

    def finish(self) -> None:
        """Wake and release the followers, so that the server can end."""
        self.stopped.set()
        self._wake()

    async def stop(self) -> None:
        for task in (self._task, self._looking):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self.source.stop()

    def kick(self) -> None:
        """Poll again at once."""
        self._kick.set()

    def observe(self, observer: Observer) -> None:
        """Call `observer(old, new, events)` after each poll; `events` are what the launcher added meanwhile."""
        self._observers.append(observer)

    def bump(self, topic: str) -> None:
        """Increase the version of a topic that is not polled, such as events."""
        self.snapshot = replace(self.snapshot, versions=_bumped(self.snapshot.versions, {topic}))
        self._wake()

    @property
    def stopping(self) -> bool:
        """Whether followers shall end."""
        return self.stopped.is_set()

    @property
    def watchers(self) -> int:
        """Number of pages and API clients that follow the changes."""
        return self._watchers

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count as a watcher while inside; with watchers the poller polls more often."""
        self._watchers += 1
        if self._watchers == 1:
            self.kick()
        try:
            yield
        finally:
            self._watchers -= 1

    async def changed(self, seen: Mapping[str, int], topics: Iterable[str]) -> Snapshot:
        """Wait until one of `topics` is newer than in `seen`, or the poller stops. Cancelling loses nothing."""
        wanted = tuple(topics)
        while not self.stopping and all(
            self.snapshot.versions[topic] == seen.get(topic, -1) for topic in wanted
        ):
            await self._news.wait()
        return self.snapshot

    async def recent(self, at_most_s: float = FRESH_S) -> Snapshot:
        """The snapshot, polled first when it is older than `at_most_s`; waits PATIENCE_S at most."""
        if self._monotonic() - self._polled >= at_most_s:
            await asyncio.wait({self._begin()}, timeout=PATIENCE_S)
        return self.snapshot

    async def after_change(self, at_most_s: float = AFTER_CHANGE_S) -> Snapshot:
        """The snapshot of a poll that begins now (one under way does not count); the known one after `at_most_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                if self._looking is not None:
                    await asyncio.wait({self._looking})
                await asyncio.wait({self._begin()})
                return self.snapshot
        self.kick()
        return self.snapshot

    async def with_tables(self, at_most_s: float = AFTER_CHANGE_S) -> Snapshot:
        """The snapshot with freshly read routing tables; with the known ones after `at_most_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                routes = await _answer(self.source.routes())
                return replace(self.snapshot, routers=self._routers(self.snapshot, routes, None))
        return self.snapshot

    async def _run(self) -> None:
        while True:
            started = self._monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    max(WATCHED_S if self._watchers else UNWATCHED_S, REST_PER_LOOK * self._took_s)
                ):
                    await self._kick.wait()
                    # Several changes come together as a rule: one poll for all of them.
                    gap_s = max(LEAST_GAP_S, REST_PER_LOOK * self._took_s)
                    await asyncio.sleep(max(0.0, gap_s - (self._monotonic() - started)))
            self._kick.clear()
            await self.poll()

    async def poll(self) -> Snapshot:
        """Poll everything once; a peer that does not answer keeps its last known state."""
        await self._begin()
        return self.snapshot

    def _begin(self) -> asyncio.Task[None]:
        """The poll under way, or a new one."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_safely(), name="dashboard look")
        return self._looking

    async def _look_safely(self) -> None:
        try:
            began = time.process_time()
            await self._look()
            self._took_s = time.process_time() - began
        except Exception:
            # The page must outlive whatever a router or launcher of another version answers.
            log.exception("a look at the cluster failed")

    async def _look(self) -> None:
        source = self.source
        routes, connections, stats, launcher = await asyncio.gather(
            _answer(source.routes()),
            _answer(source.connections()),
            _answer(source.stats()),
            _answer(source.ask("status")),
        )
        old = self.snapshot
        new = replace(old, at=self._now(), bus_error=source.bus_error())
        new = replace(new, routers=self._routers(old, routes, stats))
        new = self._with_connections(new, connections)
        new = self._with_launcher(new, launcher)
        # The launcher may have watched for longer.
        known = new.launcher.since if new.launcher_error is None else {}
        new = replace(new, since=new.lasting(_earliest(old.since, known)))
        new = replace(new, versions=_bumped(old.versions, _differences(old, new)))
        self.snapshot = new
        # Last: the launcher has by then recorded what it did to cause the changes that were seen.
        events = await self._launcher_events(new) if new.launcher_error is None else []
        self.polls += 1
        self._polled = self._monotonic()
        for observer in self._observers:
            observer(old, new, events)
        self._wake()

    async def _launcher_events(self, new: Snapshot) -> list[Mapping[str, Any]]:
        pid = new.launcher.pid
        if pid != self._launcher_pid:
            # Another launcher counts its events from 1 again.
            self._launcher_pid, self._launcher_event = pid, 0
        events = await _answer(self.source.ask("events", self._launcher_event, EVENTS_AT_ONCE))
        with _tolerant("events"):
            if isinstance(events, list):
                numbers = [int(event["id"]) for event in events]
                self._launcher_event = max(numbers, default=self._launcher_event)
                return events
        return []

    def _wake(self) -> None:
        # Waiters hold the old event; later ones wait on the new one.
        self._news.set()
        self._news = asyncio.Event()

    def _routers(self, old: Snapshot, routes: Any, stats: Any) -> tuple[RouterState, ...]:
        tables: dict[str, tuple[GroupState, ...]] = {}
        if isinstance(routes, Mapping):
            for entry in routes.get("routers", ()):
                with _tolerant("routes"):
                    tables[str(entry["router"])] = _groups.validate_python(entry["groups"])
        counted: dict[str, RouterStats] = {}
        if isinstance(stats, list):
            with _tolerant("stats"):
                counted = {row.router: row for row in _stats.validate_python(stats)}
        before = {router.name: router for router in old.routers}
        states = []
        for link in self.source.links():
            last = before.get(link.name)
            seen, groups = (last.seen, last.groups) if last else (None, ())
            if link.name in tables:
                seen, groups = self._now(), tables[link.name]
            connected = link.connected and link.name in tables
            kept = counted.get(link.name) or (last.stats if last else None)
            states.append(RouterState(link.name, link.address, connected, seen, groups, kept))
        return tuple(states)

    def _with_connections(self, new: Snapshot, answer: Any) -> Snapshot:
        if isinstance(answer, Exception):
            return new
        with _tolerant("connections"):
            return replace(new, connections=self._rates.of(_connections.validate_python(answer)))
        return new

    def _with_launcher(self, new: Snapshot, answer: Any) -> Snapshot:
        if isinstance(answer, Exception):
            return replace(new, launcher_error=explain(answer))
        with _tolerant("status"):
            rows = _processes.validate_python(answer["processes"])
            launcher = _launcher.validate_python(dict(answer))
            return replace(
                new, processes=rows, launcher=launcher, processes_seen=self._now(), launcher_error=None
            )
        return replace(new, launcher_error=Message("problem.it-answers-in-a-way"))


async def _answer(request: Awaitable[T]) -> T | LuabusError:
    try:
        return await request
    except LuabusError as error:
        return error


@contextmanager
def _tolerant(what: str) -> Iterator[None]:
    """Log an answer of unexpected shape, as a peer of another version may give, and keep the known state."""
    try:
        yield
    except (ValidationError, TypeError, KeyError, ValueError) as error:
        log.warning("the answer about %s is not understood: %s", what, error)


def _differences(old: Snapshot, new: Snapshot) -> set[str]:
    """Topics in which two snapshots differ."""
    topics = set()
    if _routing(old) != _routing(new):
        topics |= {"routes", "status"}
    if old.connections != new.connections:
        topics.add("connections")
    if old.processes != new.processes or old.launcher_error != new.launcher_error:
        topics.add("processes")
    if _states(old) != _states(new) or not new.routed or new.launcher_error is not None:
        # Without answers the sentence tells for how long: it changes by itself.
        topics.add("status")
    return topics


def _routing(snapshot: Snapshot) -> object:
    return [(router.name, router.address, router.connected, router.groups) for router in snapshot.routers]


def _states(snapshot: Snapshot) -> object:
    states = [
        (process.name, process.shown_state, process.missing, process.restarts)
        for process in snapshot.processes
    ]
    return (states, snapshot.launcher_error, snapshot.bus_error)


def _earliest(*known: Mapping[str, float]) -> dict[str, float]:
    return {what: min(times[what] for times in known if what in times) for what in {*known[0], *known[1]}}


def _bumped(versions: Mapping[str, int], topics: set[str]) -> dict[str, int]:
    return {topic: count + (topic in topics) for topic, count in versions.items()}
