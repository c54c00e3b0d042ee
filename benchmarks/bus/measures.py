"""What is measured, and how: each measure asks the stages of several systems for figures, in turn.

The systems of one measure run side by side, and their samples alternate (A B A B ...): a machine that slows down slows
them all. A sample lasts about `Scale.seconds`: how many messages that takes is found out by a small run before, which is
also the warm-up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.bus.systems import ALL, SLOTS, Stage, raise_file_limit
from benchmarks.children import BenchmarkError, Child, Program
from benchmarks.results import Sample, Samples

_WINDOW: Final = 4096
"""Messages under way at most: what receivers and routers have to hold is far below every system's limits."""
_WINDOW_BYTES: Final = 4 << 20
_FIRST: Final = 512
_SETTLE_S: Final = 0.5
_SLOW_MESSAGES: Final = 400_000
_SLOW_SIZE: Final = 256
_FILES_KEPT: Final = 200
"""Open files that are needed for other things than connections."""


@dataclass(frozen=True)
class Scale:
    """How long to measure. `connections`: how many idle ones, one figure for each."""

    rounds: int
    seconds: float
    connections: tuple[int, ...]
    slow_messages: int = _SLOW_MESSAGES


FULL: Final = Scale(5, 1.0, (1_000, 10_000))
QUICK: Final = Scale(3, 0.3, (1_000,))


@dataclass(frozen=True)
class Measure:
    """`enter` starts the processes of one system, `sample` gets one figure per name for a duration in seconds."""

    name: str
    title: str
    systems: tuple[str, ...]
    enter: Callable[[Stage], None]
    sample: Callable[[Stage, float], Sample]
    main: str = "rate"
    """The figure that ratios are made of."""
    unit: str = "msg/s"


def run(measure: Measure, systems: list[str], scale: Scale, tell: Callable[[str], None]) -> Samples:
    """All samples of one measure. `tell` gets words about the progress."""
    names = [name for name in measure.systems if name in systems]
    samples: Samples = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        stages = {name: stack.enter_context(ALL[name]()) for name in names}
        for stage in stages.values():
            measure.enter(stage)
        for number in range(scale.rounds):
            # Every other round the other way round: nobody always comes after the same one.
            for name in names if number % 2 == 0 else reversed(names):
                tell(f"{measure.title}: {ALL[name].title}, {number + 1} of {scale.rounds}")
                samples[name].append(measure.sample(stages[name], scale.seconds))
    return samples


# --- rates ------------------------------------------------------------------------------------------------------


def _calibrated(
    sender: Child, seconds: float, cpu_s: Callable[[], float], command: str, **options: Any
) -> tuple[dict[str, Any], Sample]:
    """Run for about `seconds`; the answer, and the figures that every measure has: rate, and CPU time per message."""
    count = options.pop("first", _FIRST)
    while True:
        tried = sender.ask(command, count=count, **options)
        if tried["seconds"] > seconds / 8:
            break
        count *= 4
    before = cpu_s()
    answer = sender.ask(command, count=max(1, int(tried["count"] * seconds / tried["seconds"])), **options)
    used = cpu_s() - before
    return answer, {
        "rate": answer["count"] / answer["seconds"],
        "cpu_us": used / answer["count"] * 1e6,
    }


def _sender(stage: Stage) -> Child:
    if stage.sender is None:
        raise BenchmarkError(f"{stage.name} has no sender on stage")
    return stage.sender


def _rate(stage: Stage, seconds: float, command: str, **options: Any) -> Sample:
    return _calibrated(_sender(stage), seconds, stage.cpu_s, command, **options)[1]


def _router_alone(stage: Stage, seconds: float, way: str = "target") -> Sample:
    """Here the CPU time is the router's alone."""
    return _calibrated(
        _sender(stage), seconds, _router(stage).cpu_s, "oneway",
        first=_FIRST * 32, size=64, window=_WINDOW_BYTES, way=way,
    )[1]  # fmt: skip


def _oneway(way: str) -> Callable[[Stage, float], Sample]:
    return lambda stage, seconds: _rate(stage, seconds, "oneway", size=64, window=_WINDOW, way=way)


def _requests(inflight: int) -> Callable[[Stage, float], Sample]:
    def sample(stage: Stage, seconds: float) -> Sample:
        answer, figures = _calibrated(
            _sender(stage), seconds, stage.cpu_s, "requests", size=64, inflight=inflight
        )
        return {**figures, "p50_us": answer["p50_us"], "p99_us": answer["p99_us"]}

    return sample


def _bodies(size: int) -> Callable[[Stage, float], Sample]:
    def sample(stage: Stage, seconds: float) -> Sample:
        window = max(8, _WINDOW_BYTES // size)
        figures = _rate(stage, seconds, "oneway", size=size, window=window)
        return {**figures, "rate": figures["rate"] * size / 1e6}

    return sample


def _broadcast(stage: Stage, seconds: float) -> Sample:
    return _rate(stage, seconds, "broadcast", size=64, receivers=16, window=_WINDOW // 8)


_CLIENTS: Final = ("luabus", "nats", "nats-asyncio", "zmq")
_FLOORS: Final = ("floor2", "floor4", "floor4-asyncio")
_ROUTERS: Final = ("luabus", "nats")

MEASURES: Final = (
    Measure(
        "router-one", "Router alone, one target", _ROUTERS, lambda s: s.enter_raw(1), _router_alone
    ),
    Measure(
        "router-four", "Router alone, 4 shuffled targets", _ROUTERS, lambda s: s.enter_raw(SLOTS), _router_alone,
    ),
    Measure(
        "router-hash", "Router alone, hash over 4 slots, random keys", ("luabus",), lambda s: s.enter_raw(SLOTS),
        lambda s, seconds: _router_alone(s, seconds, "hash"),
    ),
    Measure("oneway", "send() to handler, 64 B", _CLIENTS, lambda s: s.enter([1]), _oneway("target")),
    Measure(
        "oneway-hash", "send() to handler, 64 B, hash over 4", _CLIENTS,
        lambda s: s.enter([1] * SLOTS), _oneway("hash"),
    ),
    Measure(
        "request-1", "Round trips, 1 in flight", (*_CLIENTS, *_FLOORS), lambda s: s.enter([1]), _requests(1),
        main="p50_us", unit="us",
    ),
    Measure("request-64", "Round trips, 64 in flight", _CLIENTS, lambda s: s.enter([1]), _requests(64), unit="/s"),
    Measure("request-256", "Round trips, 256 in flight", _CLIENTS, lambda s: s.enter([1]), _requests(256), unit="/s"),
    Measure(
        "broadcast", "Broadcast to 16 receivers in 2 processes", ("luabus", "nats", "nats-asyncio"),
        lambda s: s.enter([8, 8]), _broadcast, unit="deliveries/s",
    ),
    Measure("bodies-16k", "16 KiB bodies", _CLIENTS, lambda s: s.enter([1]), _bodies(16 << 10), unit="MB/s"),
    Measure("bodies-256k", "256 KiB bodies", _CLIENTS, lambda s: s.enter([1]), _bodies(256 << 10), unit="MB/s"),
)  # fmt: skip


# --- memory -----------------------------------------------------------------------------------------------------

MEMORY: Final = "memory"


def memory(systems: list[str], scale: Scale, tell: Callable[[str], None]) -> Samples:
    """Bytes of the router: idle, per idle connection, and the most it took beside a receiver that reads no more."""
    open_files = raise_file_limit()
    samples: Samples = {}
    for name in _ROUTERS:
        if name not in systems:
            continue
        figures: Sample = {}
        with ALL[name]() as stage:
            router = _router(stage)
            time.sleep(_SETTLE_S)
            idle = router.rss_bytes()
            figures["idle"] = idle
            holder = stage.raw("idle")
            for count in scale.connections:
                if count + _FILES_KEPT > open_files:
                    tell(f"{count} connections need more open files than the {open_files} allowed here")
                    continue
                tell(f"Memory: {stage.title}, {count} idle connections")
                holder.ask("grow", count=count)
                time.sleep(_SETTLE_S)
                figures[f"per_connection_{count}"] = (router.rss_bytes() - idle) / count
        with ALL[name]() as stage:
            tell(f"Memory: {stage.title}, a receiver that stopped reading")
            figures["slow_consumer"] = _beside_slow_consumer(stage, scale)
        samples[name] = [figures]
    return samples


def _router(stage: Stage) -> Program:
    assert stage.router is not None
    return stage.router


def _beside_slow_consumer(stage: Stage, scale: Scale) -> float:
    """How much the router grew at most, while as much as a healthy receiver got was sent to one who does not read."""
    router = _router(stage)
    progress = str(stage.progress_file)
    stage.raw("receiver", progress=progress, first=0)
    stage.raw("stop_reading", first=1)
    flood = stage.raw("flood", progress=progress)
    flood.ask("run", count=1024, size=_SLOW_SIZE, window=_WINDOW_BYTES)
    before = router.rss_bytes()
    highest = before
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.005):
            highest = max(highest, router.rss_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        flood.ask("run", count=scale.slow_messages, size=_SLOW_SIZE, window=_WINDOW_BYTES)
    finally:
        done.set()
        watcher.join()
    return float(highest - before)
