"""Counters to rates, and what the tables of `top` show. Pure: looks go in, cells come out (texts with Textual's markup)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from launcher.cli.tables import ended_how, shown_state
from luabus.quantities import format_duration, format_share, format_size

PROCESS_HEADS: Final = (
    "NAME",
    "ID",
    "STATE",
    "READY",
    "PID",
    "UPTIME",
    "CPU%",
    "RSS",
    "RESTARTS",
    "MSG/S",
    "LAST EXIT",
)
ROUTE_HEADS: Final = ("GROUP", "ID", "NAME", "KEYS", "MASTER", "ROUTERS")

_COLOURS: Final = {
    "running": "green", "healthy": "green", "starting": "yellow", "stopping": "yellow", "backoff": "red", "failed": "bold red",
    "degraded": "bold red", "exited": "dim",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What was seen at `at` (monotonic seconds). `problem` says what could not be seen."""

    at: float
    status: Mapping[str, Any] | None = None
    routes: Mapping[str, Any] | None = None
    stats: tuple[Mapping[str, Any], ...] = ()
    connections: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""


@dataclass
class Rates:
    """Per second, between a counter's last two values; 0 for a counter's first value, and for one that began anew."""

    _last: dict[Hashable, tuple[float, float]] = field(default_factory=dict)
    _rates: dict[Hashable, float] = field(default_factory=dict)

    def take(self, counters: Mapping[Hashable, float], at: float) -> None:
        """All counters there are now; those that are not among them are forgotten."""
        rates: dict[Hashable, float] = {}
        for key, value in counters.items():
            before, then = self._last.get(key, (value, at))
            rates[key] = (value - before) / (at - then) if at > then and value >= before else 0.0
        self._last = {key: (value, at) for key, value in counters.items()}
        self._rates = rates

    def of(self, key: Hashable) -> float:
        return self._rates.get(key, 0.0)


def counters(look: Reading) -> dict[Hashable, float]:
    """Messages by router (`("router", name, "in")`) and by service id over all routers."""
    found: dict[Hashable, float] = {}
    for row in look.stats:
        for way in ("in", "out"):
            found["router", row["router"], way] = float(row[f"messages_{way}"])
    for row in look.connections:
        if row["service_id"]:
            key = ("service", row["service_id"])
            found[key] = found.get(key, 0.0) + row["messages_in"] + row["messages_out"]
    return found


def head(look: Reading, rates: Rates) -> str:
    """The lines above the tables."""
    if look.status is None:
        return f"[bold red]{plain(look.problem)}[/]"
    status = look.status
    rows = status["processes"]
    up = sum(1 for row in rows if row["state"] == "running")
    first = (
        f"[bold]{plain(status['cluster'])}[/] is {_painted(status['state'])}: {up} of {len(rows)} processes run, "
        + (f"up {format_duration(status['uptime_s'])}")
    )
    routers = []
    for router in status["routers"]:
        name = plain(router["name"])
        came, went = rates.of(("router", name, "in")), rates.of(("router", name, "out"))
        routers.append(
            f"{name} {came:,.0f} in, {went:,.0f} out /s"
            if router["connected"]
            else f"[bold red]{name} is lost[/]"
        )
    masters = ", ".join(
        f"{plain(name)} {plain(master) if master else '[bold red]none[/]'}"
        for name, master in status["masters"].items()
    )
    lines = [first, f"routers: {'; '.join(routers)}", f"masters: {masters or 'none'}"]
    wrong = [*status["problems"], *([look.problem] if look.problem else [])]
    lines += [f"[red]! {plain(problem)}[/]" for problem in wrong[:3]]
    if len(wrong) > 3:
        lines.append(f"[red]! and {len(wrong) - 3} more[/]")
    return "\n".join(lines)


def process_rows(look: Reading, rates: Rates) -> dict[str, tuple[str, ...]]:
    """By process name, cells under PROCESS_HEADS."""
    found: dict[str, tuple[str, ...]] = {}
    for row in look.status["processes"] if look.status else ():
        lives = row["pid"] is not None
        is_router = row["kind"] == "router"
        rate = rates.of(("router", row["name"], "in") if is_router else ("service", row["service_id"]))
        found[row["name"]] = (
            plain(row["name"]),
            row["service_id"] or "-",
            _painted(shown_state(row)),
            ("[green]yes[/]" if row["ready"] else "[yellow]no[/]") if lives else "-",
            str(row["pid"]) if lives else "-",
            format_duration(row["uptime_s"]) if lives else "-",
            f"{row['cpu_percent']:.1f}" if lives else "-",
            format_size(row["rss_bytes"]) if lives else "-",
            str(row["restarts"]),
            f"{rate:,.0f}" if row["service_id"] and lives else "-",
            plain(ended_how(row["exit"]["text"])) if row["exit"] else "-",
        )
    return found


def route_rows(look: Reading) -> dict[str, tuple[str, ...]]:
    """By service id, cells under ROUTE_HEADS: one row per member or vacancy, and what each router says of it."""
    routers = look.routes["routers"] if look.routes else []
    entries: dict[str, dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for router in routers:
        for group in router["groups"]:
            for slot in group["slots"]:
                entries.setdefault(slot["service_id"], {})[router["router"]] = (group, slot)
    found: dict[str, tuple[str, ...]] = {}
    for service_id in sorted(entries, key=_numbers):
        said = entries[service_id]
        group, slot = next(iter(said.values()))
        masters = {g["master"] for g, _ in said.values()}
        master = "[cyan]master[/]" + f" (epoch {group['epoch']})" if service_id in masters else ""
        where = "  ".join(_where(router["router"], said) for router in routers)
        found[service_id] = (
            f"{plain(group['name'])} ({group['group']})",
            service_id,
            plain(slot["name"]),
            format_share(slot.get("share")),
            master,
            where,
        )
    return found


def plain(text: str) -> str:
    """Foreign text, without meaning for the markup."""
    return text.replace("[", "\\[")


def _where(router: str, said: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> str:
    name = plain(router)
    if router not in said:
        return f"[red]{name}: unknown[/]"
    return f"{name}: live" if said[router][1]["token"] else f"[yellow]{name}: vacant[/]"


def _painted(state: str) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{plain(state)}[/]" if colour else plain(state)


def _numbers(service_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in service_id.split("."))
