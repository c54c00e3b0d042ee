"""A small cluster as the dashboard's source would tell of it, changed by the tests; and snapshots of it.

It answers in the shapes of the routers and the launcher. What crosses a socket is tested against real ones in
`test_source.py` and `test_browser.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from dashboard.collector.cluster_source import Answer, RouterLink
from dashboard.collector.poller import Poller
from luabus import admin
from luabus.cluster.snapshot import Snapshot
from luabus.errors import NotConnected
from luabus.messages import of_map
from luabus.routing.buckets import BUCKETS, Buckets

GROUPS = {"director": 1, "mail": 2}


def slot(group: str, instance: int, token: int, share: float | None = None) -> dict[str, Any]:
    name = f"{group}.{instance}"
    row = {"service_id": f"{GROUPS[group]}.{instance}", "name": name, "token": token}
    return row if share is None else {**row, "share": share}


def hashed(group: str, tokens: Sequence[int]) -> list[dict[str, Any]]:
    """The instances 1, 2, ... with these tokens (0: vacant), and the shares that the live ones have by the rule."""
    live = [GROUPS[group] << 16 | instance for instance, token in enumerate(tokens, 1) if token]
    owned = Counter(Buckets(live).owners(live))
    return [
        slot(group, instance, token, round(owned[GROUPS[group] << 16 | instance] / BUCKETS, 4))
        for instance, token in enumerate(tokens, 1)
    ]


def table(router: str, *, mail: Sequence[int] = (11, 12, 13), master: str | None = "1.1") -> dict[str, Any]:
    """A router's table: three of mail with these tokens (0: vacant), and two directors."""
    return {
        "router": router,
        "groups": [
            {"group": 1, "name": "director", "mode": "master", "elected": True, "master": master, "epoch": 4,
             "slots": [slot("director", 1, 21), slot("director", 2, 22)]},
            {"group": 2, "name": "mail", "mode": "hash", "elected": False, "master": None, "epoch": 0,
             "slots": hashed("mail", mail)},
        ],
    }  # fmt: skip


def connection(router: str, name: str, service_id: str, token: int, **more: Any) -> dict[str, Any]:
    row = {
        "router": router, "token": token, "service_id": service_id, "name": name, "peer": f"127.0.0.1:{5000 + token}",
        "rtt_ms": 0.2, "idle_s": 0.1, "messages_in": 0, "messages_out": 0, "connected_s": 5.0,
    }  # fmt: skip
    return row | more


def process(name: str, service_id: str | None, **more: Any) -> dict[str, Any]:
    """As the launcher tells of a service's, unless its name says otherwise."""
    service = name.partition(".")[0]
    kind = service if service in ("router", "dashboard") else "service"
    row = {
        "name": name, "service": service, "service_id": service_id, "kind": kind, "state": "running", "detail": "",
        "wanted": True, "pid": 100, "restarts": 0, "restart_policy": "on-failure" if kind == "service" else "always",
        "restarts_left": 4, "liveness_timeout_s": 10.0 if kind == "service" else None, "essential": False,
        "uptime_s": 5.0, "cpu_percent": 1.0, "rss_bytes": 1 << 20, "exit": None,
    }  # fmt: skip
    return row | more


def method(name: str, calls: int = 3, **more: Any) -> dict[str, Any]:
    """A method as `luabus.methods` tells of it; its calls took between 0.5 and 1 ms."""
    buckets = [0] * 25
    buckets[10] = calls
    stats = {"calls": calls, "errors": 0, "buckets": buckets}
    row = {
        "name": name,
        "signature": "(box)",
        "parameters": ["box"],
        "required": 1,
        "doc": "Counts.",
        "stats": stats,
    }
    return row | more


@dataclass
class ScriptedCluster:
    """What the routers and the launcher answer; `done` records the verbs that reached them."""

    cluster: str = "demo"
    up: dict[str, bool] = field(default_factory=lambda: {"router.1": True, "router.2": True})
    tables: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: table(name) for name in ("router.1", "router.2")}
    )
    rows: list[dict[str, Any]] = field(default_factory=list)
    processes: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    launcher: bool = True
    pid: int = 1
    fails: Exception | None = None
    logs: list[Any] = field(default_factory=list)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    route_requests: int = 0
    hold: asyncio.Event | None = None
    closed: list[dict[str, Any]] = field(default_factory=list)
    declared: list[dict[str, Any]] = field(default_factory=lambda: [method("stats"), method("luabus.ping")])
    written: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    changed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if not self.rows:
            for router in self.up:
                self.rows += [connection(router, f"mail.{n}", f"2.{n}", 10 + n) for n in (1, 2, 3)]
                self.rows += [connection(router, f"director.{n}", f"1.{n}", 20 + n) for n in (1, 2)]
        if not self.processes:
            self.processes = [process(name, f"0.{n}") for n, name in enumerate(self.up, 1)]
            self.processes += [process(f"director.{n}", f"1.{n}") for n in (1, 2)]
            self.processes += [process(f"mail.{n}", f"2.{n}") for n in (1, 2, 3)]

    async def start(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    async def stop(self) -> None:
        self.changed = lambda: None

    def links(self) -> list[RouterLink]:
        return [
            RouterLink(name, f"127.0.0.1:{7069 + n}", up) for n, (name, up) in enumerate(self.up.items(), 1)
        ]

    def bus_error(self) -> str | None:
        return None if any(self.up.values()) else "connection refused"

    def _routed(self) -> None:
        if not any(self.up.values()):
            raise NotConnected("no router answers")
        if self.fails is not None:
            raise self.fails

    async def routes(self) -> Any:
        self.route_requests += 1
        self._routed()
        return {"consistent": True, "routers": [self.tables[name] for name, up in self.up.items() if up]}

    async def connections(self) -> Any:
        self._routed()
        return [row for row in self.rows if self.up[row["router"]]]

    async def stats(self) -> Any:
        self._routed()
        totals = {"messages_in": 10, "messages_out": 20, "undeliverable": {"no route": 3}}
        closed = {"router.1": self.closed}
        return [
            {"router": name, "closed": closed.get(name, []), **totals} for name, up in self.up.items() if up
        ]

    async def register(self, service_id: str, token: Any, is_master: bool, router: str) -> dict[str, str]:
        self._routed()
        if self.hold is not None:
            await self.hold.wait()
        self.done.append(("register", service_id, token, is_master, router))
        return {
            name: self._register(name, service_id, token, is_master)
            for name in self.up
            if router in ("*", name)
        }

    def _register(self, router: str, service_id: str, token: Any, is_master: bool) -> str:
        """As a router does it; its table is a new one, for the snapshots hold the old."""
        if not self.up[router]:
            return admin.AWAY
        changed = deepcopy(self.tables[router])
        number, _, instance = service_id.partition(".")
        group = next(table for table in changed["groups"] if table["group"] == int(number))
        if token == "own":
            token = next(
                row["token"]
                for row in self.rows
                if (row["router"], row["service_id"]) == (router, service_id)
            )
        entry = next((slot for slot in group["slots"] if slot["service_id"] == service_id), None)
        if token is None and entry is None:
            return admin.NOTHING
        if token is None:
            group["slots"] = [slot for slot in group["slots"] if slot is not entry]
        elif entry is None:
            group["slots"].append(slot(group["name"], int(instance), token, 0.0 if token == 0 else None))
        else:
            entry["token"] = token
        if is_master:
            group["master"] = service_id
        elif group["master"] == service_id:
            group["master"] = None
        self.tables[router] = changed
        return admin.DONE

    async def promote(self, service_id: str, by: str) -> Any:
        self._routed()
        self.done.append(("promote", service_id))
        return {"master": service_id, "epoch": 4, "changed": True}

    async def close_connection(self, router: str, token: int) -> Any:
        self._routed()
        self.done.append(("close", router, token))
        return "closed"

    async def methods(self, group: int, timeout: float) -> dict[str, Any]:
        self._routed()
        groups = self.tables["router.1"]["groups"]
        slots = next(entry["slots"] for entry in groups if entry["group"] == group)
        return {slot["service_id"]: self.declared for slot in slots if slot["token"]}

    async def call(
        self, route: str, method: str, args: Sequence[Any], timeout: float, one_way: bool
    ) -> list[Answer]:
        self._routed()
        self.done.append(("call", route, method, *args))
        return [] if one_way else [Answer("2.2", list(args))]

    @asynccontextmanager
    async def follow(self, name: str, lines: int) -> AsyncIterator[AsyncIterator[list[Any]]]:
        if not self.launcher:
            raise NotConnected("no launcher: control.json does not exist")

        async def batches() -> AsyncIterator[list[Any]]:
            yield self.logs[-lines:]
            while True:
                batch = [await self.written.get()]
                while not self.written.empty():
                    batch.append(self.written.get_nowait())
                yield batch

        yield batches()

    async def ask(self, method: str, *args: Any) -> Any:
        if not self.launcher:
            raise NotConnected("no launcher: control.json does not exist")
        answers: dict[str, Any] = {
            "processes": self.processes,
            "status": {"pid": self.pid, "processes": self.processes},
            "logs": self.logs,
            "events": [event for event in self.events if method == "events" and event["id"] > args[0]],
        }  # fmt: skip
        return answers[method]

    async def tell(self, method: str, *args: Any, timeout: float = 30.0) -> Any:
        if not self.launcher:
            raise NotConnected("no launcher: control.json does not exist")
        if self.fails is not None:
            raise self.fails
        if method == "note":
            kind, name, message, who = args
            event = {
                "id": len(self.events) + 1,
                "at": Clock().at,
                "kind": kind,
                "name": name,
                "message": message,
            }
            event["text"] = str(of_map(message))
            self.events.append(event | who)
            return None
        self.done.append((method, *args))
        return {"ok": True, "text": "begun"}


def by_hand(master: str) -> ScriptedCluster:
    """One whose group mail has a master that was named by hand."""
    cluster = ScriptedCluster()
    for tables in cluster.tables.values():
        tables["groups"][1]["master"] = master
    return cluster


class Clock:
    """Time that passes when told to."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


async def looked(cluster: ScriptedCluster, clock: Clock | None = None) -> Poller:
    """A poller that has looked once, and does not look again by itself."""
    clock = clock or Clock()
    poller = Poller(cluster, now=clock, monotonic=clock)
    await poller.poll()
    return poller


async def snapshot_of(cluster: ScriptedCluster) -> Snapshot:
    return (await looked(cluster)).snapshot
