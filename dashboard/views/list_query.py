"""Long lists: filter, sort, page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Generic, TypeVar

from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import Closed, ConnectionState, Process

Shown = TypeVar("Shown")

CONNECTION_COLUMNS: Final = (
    "router",
    "token",
    "service_id",
    "name",
    "peer",
    "rtt_ms",
    "idle_s",
    "pending_bytes",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
    "last_error_at",
    "connected_s",
    "rate_in",
    "rate_out",
    "byte_rate_in",
    "byte_rate_out",
)
CLOSED_COLUMNS: Final = ("router", "token", "service_id", "name", "peer", "reason", "at")
PROCESS_COLUMNS: Final = (
    "name",
    "service",
    "service_id",
    "state",
    "pid",
    "restarts",
    "uptime_s",
    "cpu_percent",
    "rss_bytes",
)
ROUTER_COLUMNS: Final = (
    "router",
    "connected",
    "uptime_s",
    "cpu_s",
    "connections",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
)
NOT_SEARCHED: Final = frozenset({"cwd"})
"""The same folder for all: its words would find everything."""
PAGE_SIZE: Final = 100
"""Rows of one page: what a browser lays out without a stutter."""


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Shown]):
    """Rows `offset` to `offset + limit` of the `total` that passed the filter."""

    rows: tuple[Shown, ...]
    total: int
    offset: int
    limit: int

    @property
    def number(self) -> int:
        return self.offset // self.limit + 1

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.limit))


def matches(row: Any, wanted: str) -> bool:
    """Whether every word of `wanted` is somewhere in the row's texts; case does not matter."""
    values = (getattr(row, field.name) for field in fields(row) if field.name not in NOT_SEARCHED)
    texts = " ".join(value for value in values if isinstance(value, str)).casefold()
    return all(word in texts for word in wanted.casefold().split())


def select(
    rows: Sequence[Shown], q: str = "", sort: str = "", offset: int = 0, limit: int = PAGE_SIZE
) -> ListPage[Shown]:
    """Filter by words, sort by a field (`-field` for descending; nulls last either way), cut out one page."""
    fitting = [row for row in rows if matches(row, q)] if q.strip() else list(rows)
    if sort:
        name = sort.removeprefix("-")
        known = [row for row in fitting if getattr(row, name) is not None]
        unknown = [row for row in fitting if getattr(row, name) is None]
        known.sort(key=lambda row: getattr(row, name), reverse=sort.startswith("-"))
        fitting = known + unknown
    return ListPage(tuple(fitting[offset : offset + limit]), len(fitting), offset, limit)


def closed(snapshot: Snapshot, q: str = "") -> list[Closed]:
    """The connections that ended last, newest first."""
    rows = [row for router in snapshot.routers if router.stats for row in router.stats.closed]
    rows.sort(key=lambda row: row.at, reverse=True)
    return [row for row in rows if matches(row, q)] if q.strip() else rows


def preferred(connections: Sequence[ConnectionState]) -> dict[str, str]:
    """Which router each peer sends through, by the peer's name."""
    return {row.name: row.router for row in connections if row.name and row.preferred}


def by_service(processes: Sequence[Process]) -> list[tuple[str, list[Process]]]:
    """The processes of each service together, services in the order in which they first appear."""
    services: dict[str, list[Process]] = {}
    for process in processes:
        services.setdefault(process.service or process.name, []).append(process)
    return list(services.items())
