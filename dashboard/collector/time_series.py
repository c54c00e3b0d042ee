"""Time series of the last 15 minutes and the last day, kept in memory at falling resolution.

Each series has two rings of means: 5 seconds wide for a quarter of an hour, 2 minutes wide for a day. A series takes 22 KB,
however long the dashboard runs; those of processes that are gone for a day are dropped.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import quantiles
from typing import Final, NamedTuple

from dashboard.collector.rates import LEAST_S
from luabus.cluster.snapshot import Snapshot

Sampled = tuple[str, str]
"""Key of a series, kind and subject: `("messages", "router.1")`."""


class Window(NamedTuple):
    """Width of one value in seconds, and the number of values kept."""

    step_s: int
    kept: int


WINDOWS: Final[Mapping[str, Window]] = {"15m": Window(5, 180), "1d": Window(120, 720)}
MOST_SERIES: Final = 2000
"""Limits memory to 44 MB, enough for a thousand processes; further series are not kept."""
DROPPED_AFTER_S: Final = 86_400

UNITS: Final[Mapping[str, str]] = {
    "messages": "/s",
    "bytes": "B/s",
    "undeliverable": "/s",
    "handlers": "ms",
    "calls": "/s",
    "errors": "/s",
    "round trip": "ms",
    "connections": "",
    "pending": "B",
    "load": "%",
    "cpu": "%",
    "memory": "B",
}
"""The kinds of series there are, and the unit of each."""


class Ring:
    """Ring buffer of the newest `kept` means of fixed width in time."""

    __slots__ = ("_means", "_numbers", "_weights", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self._means = array("d", bytes(8 * window.kept))
        self._numbers = array("q", [-1]) * window.kept
        self._weights = array("d", bytes(8 * window.kept))

    def add(self, at: float, value: float, weight: float = 1.0) -> None:
        """Add a sample. `at` in seconds since the epoch; `weight` relative to the other samples, such as the time it covers."""
        number = int(at // self.window.step_s)
        place = number % self.window.kept
        if self._numbers[place] != number:
            self._numbers[place], self._means[place], self._weights[place] = number, value, weight
        else:
            self._weights[place] += weight
            self._means[place] += (value - self._means[place]) * weight / self._weights[place]

    def read(self, now: float) -> list[float | None]:
        """The newest `kept` means, oldest first; None where there was no sample. The last one is still growing."""
        last = int(now // self.window.step_s)
        numbers = range(last - self.window.kept + 1, last + 1)
        places = ((number, number % self.window.kept) for number in numbers)
        return [self._means[place] if self._numbers[place] == number else None for number, place in places]


class History:
    """Observer of a poller that keeps its figures. Subscribers are called when a value of the finest ring is complete."""

    def __init__(self) -> None:
        self._rings: dict[Sampled, dict[str, Ring]] = {}
        self._touched: dict[Sampled, float] = {}
        self._counters: dict[Sampled, tuple[float, float]] = {}
        self._latest: dict[Sampled, float] = {}
        self._step = 0
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, subscriber: Callable[[], None]) -> None:
        """Call `subscriber` when a value of the finest ring is complete."""
        self._subscribers.append(subscriber)

    def look(self, old: Snapshot, new: Snapshot) -> None:
        """Sample the gauges and counters of the newest snapshot."""
        at = new.at
        for key, value in _gauges(new):
            self.sample(key, at, value)
        for key, total, uptime_s in _totals(new):
            self.count(key, at, total, uptime_s)
        step = int(at // WINDOWS["15m"].step_s)
        if step != self._step:
            self._step = step
            self._drop(at)
            for subscriber in self._subscribers:
                subscriber()

    def count(self, key: Sampled, at: float, total: float, uptime_s: float) -> None:
        """Sample a counter as a rate, by the clock of the process that counts: `uptime_s`. A counter that went back was reset,
        and gives no rate until the next poll."""
        before = self._counters.get(key)
        if before is not None and before[0] <= uptime_s < before[0] + LEAST_S and total >= before[1]:
            return
        self._counters[key] = (uptime_s, total)
        if before is not None and total >= before[1] and uptime_s > before[0]:
            elapsed_s = uptime_s - before[0]
            self.sample(key, at, (total - before[1]) / elapsed_s, elapsed_s)

    def sample(self, key: Sampled, at: float, value: float, weight: float = 1.0) -> None:
        """Sample a value; `weight` as in `Ring.add`."""
        rings = self._rings.get(key)
        if rings is None:
            if len(self._rings) >= MOST_SERIES:
                return
            rings = self._rings[key] = {name: Ring(window) for name, window in WINDOWS.items()}
        for ring in rings.values():
            ring.add(at, value, weight)
        self._touched[key] = at
        self._latest[key] = value

    def read(self, kind: str, window: str, now: float, of: str = "") -> dict[str, list[float | None]]:
        """The series of one kind by subject; with `of` only that subject's."""
        keys = sorted(key for key in self._rings if key[0] == kind and of in ("", key[1]))
        return {key[1]: self._rings[key][window].read(now) for key in keys}

    def latest(self, now: float) -> dict[str, dict[str, float]]:
        """The newest value of every series that had one in the last half minute: `{"messages": {"router.1": 12.0}}`."""
        result: dict[str, dict[str, float]] = {}
        for (kind, of), value in self._latest.items():
            if now - self._touched[kind, of] <= 30:
                result.setdefault(kind, {})[of] = round(value, 3)
        return result

    def _drop(self, now: float) -> None:
        for key in [key for key, at in self._touched.items() if now - at > DROPPED_AFTER_S]:
            del self._rings[key], self._touched[key], self._latest[key]
            self._counters.pop(key, None)


def starts(window: str, now: float) -> list[int]:
    """Start time of each value of a window, in seconds since the epoch, oldest first."""
    step, kept = WINDOWS[window]
    last = int(now // step)
    return [number * step for number in range(last - kept + 1, last + 1)]


def _gauges(snapshot: Snapshot) -> Iterator[tuple[Sampled, float]]:
    if snapshot.routed:
        yield from _round_trips([row.rtt_ms for row in snapshot.connections if row.rtt_ms])
        for router in snapshot.routers:
            if router.connected and router.stats is not None:
                yield ("connections", router.name), router.stats.connections
        yield ("pending", "all"), sum(row.pending_bytes for row in snapshot.connections)
    if snapshot.launcher_error is None:
        for process in snapshot.processes:
            if process.cpu_percent is not None:
                yield ("cpu", process.name), process.cpu_percent
            if process.rss_bytes is not None:
                yield ("memory", process.name), process.rss_bytes


def _round_trips(known: Sequence[float]) -> Iterator[tuple[Sampled, float]]:
    if len(known) >= 2:
        cuts = quantiles(known, n=100, method="inclusive")
        yield ("round trip", "p50"), cuts[49]
        yield ("round trip", "p99"), cuts[98]
    elif known:
        yield ("round trip", "p50"), known[0]
        yield ("round trip", "p99"), known[0]


def _totals(snapshot: Snapshot) -> Iterator[tuple[Sampled, float, float]]:
    for router in snapshot.routers:
        stats = router.stats
        if not router.connected or stats is None:
            continue
        totals = {
            "messages": stats.messages_in,
            "bytes": stats.bytes_in,
            "load": stats.cpu_s * 100,
            "undeliverable": sum(stats.undeliverable.values()),
        }
        for kind, total in totals.items():
            yield (kind, router.name), total, stats.uptime_s
