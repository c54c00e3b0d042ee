"""What was promised, and whether a run kept it. Pure.

Each target is a ratio to a peer in the same run. Some are also an absolute figure, from a day on which this kind of machine was
twice as fast as on others: they are scaled by what the same peer did then and does now, and the ratio decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.results import Results

PY: Final = {"nats": "nats-py", "nats-asyncio": "nats-py on asyncio's loop"}
"""Luabus is held against the better of the two; the first one runs on uvloop, as luabus does."""

NATS_CPU_THEN_US: Final = 0.42
"""nats-server's CPU time per message when the targets were set."""


@dataclass(frozen=True)
class Verdict:
    """What was measured, as text; `kept` None when the run did not measure it."""

    found: str
    kept: bool | None


_NOT_MEASURED: Final = Verdict("not measured", None)


@dataclass(frozen=True)
class Target:
    """One promise."""

    measure: str
    text: str
    judge: Callable[[Results], Verdict]


def _against_py(results: Results, measure: str, figure: str) -> tuple[str, list[float]]:
    """Luabus' figure divided by nats-py's, on each loop that was measured: as text, and as numbers."""
    there = (
        [system for system in PY if results.has(measure, system)] if results.has(measure, "luabus") else []
    )
    ratios = {system: results.ratio(measure, figure, "luabus", system) for system in there}
    return ", ".join(f"{ratio:.2f} x {PY[system]}" for system, ratio in ratios.items()), list(ratios.values())


def _rate_ratio(measure: str, least: float) -> Callable[[Results], Verdict]:
    def judge(results: Results) -> Verdict:
        text, ratios = _against_py(results, measure, "rate")
        return Verdict(text, min(ratios) >= least) if ratios else _NOT_MEASURED

    return judge


def _router_rate(measure: str, least: float) -> Callable[[Results], Verdict]:
    def judge(results: Results) -> Verdict:
        if not results.has(measure, "luabus", "nats"):
            return _NOT_MEASURED
        rate = results.middle(measure, "luabus", "rate")
        scaled = least * NATS_CPU_THEN_US / results.middle(measure, "nats", "cpu_us")
        ratio = results.ratio(measure, "rate", "luabus", "nats")
        return Verdict(
            f"{rate / 1e6:.2f} M/s, {ratio:.2f} x nats-server (scaled target: {min(least, scaled) / 1e6:.2f} M/s)",
            rate >= min(least, scaled),
        )

    return judge


def _router_cpu(results: Results) -> Verdict:
    found = []
    kept = True
    for measure, name in (("router-one", "one"), ("router-four", "four")):
        if not results.has(measure, "luabus", "nats"):
            return _NOT_MEASURED
        ratio = results.ratio(measure, "cpu_us", "luabus", "nats")
        found.append(f"{name} {results.middle(measure, 'luabus', 'cpu_us'):.2f} us = {ratio:.2f} x")
        kept = kept and ratio <= 1.0
    return Verdict(", ".join(found), kept)


def _requests(results: Results) -> Verdict:
    text, ratios = _against_py(results, "request-64", "rate")
    if not ratios:
        return _NOT_MEASURED
    rate = results.middle("request-64", "luabus", "rate")
    return Verdict(f"{text}; {rate / 1000:.0f} k/s", min(ratios) >= 2.5)


def _median_trip(results: Results) -> Verdict:
    text, ratios = _against_py(results, "request-1", "p50_us")
    if not ratios or not results.has("request-1", "floor4", "floor4-asyncio"):
        return _NOT_MEASURED
    to_floor = results.ratio("request-1", "p50_us", "luabus", "floor4-asyncio")
    to_uvloop = results.ratio("request-1", "p50_us", "luabus", "floor4")
    return Verdict(
        f"{text}; {to_floor:.2f} x asyncio's floor ({to_uvloop:.2f} x uvloop's)",
        max(ratios) <= 0.5 and to_floor <= 1.5,
    )


def _memory(results: Results) -> Verdict:
    found = results.measures.get("memory", {}).get("luabus", [])
    each = {name: size for sample in found for name, size in sample.items() if name.startswith("per_conn")}
    if not each:
        return _NOT_MEASURED
    texts = [f"{size / 1024:.1f} KiB ({int(name.rpartition('_')[2]):,})" for name, size in each.items()]
    return Verdict(", ".join(texts), max(each.values()) <= 16 * 1024)


TARGETS: Final = (
    Target("router-one", "router alone, one target: >= 1.5 M msg/s", _router_rate("router-one", 1.5e6)),
    Target(
        "router-four", "router alone, 4 shuffled targets: >= 1 M msg/s", _router_rate("router-four", 1e6)
    ),
    Target("router-one", "router CPU per forwarded message: <= nats-server's", _router_cpu),
    Target("oneway", "`send()` to handler, 64 B: >= 1.5 x nats-py", _rate_ratio("oneway", 1.5)),
    Target(
        "request-64", "round trips, 64 in flight: >= 2.5 x nats-py (then: 100 k/s)", _requests
    ),
    Target(
        "request-1", "p50 of a round trip: <= 0.5 x nats-py, <= 1.5 x the four-hop bare asyncio floor", _median_trip
    ),
    Target("broadcast", "broadcast to 16 receivers in 2 processes: >= 1.5 x nats-py", _rate_ratio("broadcast", 1.5)),
    Target("bodies-16k", "16 KiB bodies: >= nats-py's MB/s", _rate_ratio("bodies-16k", 1.0)),
    Target("memory", "router memory per idle connection: <= 16 KiB", _memory),
)  # fmt: skip
