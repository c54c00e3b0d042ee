"""Prometheus metrics (`/metrics`), made from the snapshot at each scrape.

Labels are names of routers, groups and processes: the cluster's configuration bounds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dashboard.collector.poller import Poller
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.tokens import Role
from dashboard.views.routing_tables import group_tables
from luabus.cluster.health import assess
from luabus.cluster.snapshot import Snapshot

ROUTER_COUNTERS = (
    ("messages_in", "messages_received", "Messages received from peers"),
    ("messages_out", "messages_sent", "Messages sent to peers"),
    ("bytes_in", "received_bytes", "Bytes received from peers"),
    ("bytes_out", "sent_bytes", "Bytes sent to peers"),
    ("cpu_s", "cpu_seconds", "Processor time used"),
    ("refused", "connections_refused", "Connections refused at the limit"),
)
STATES = ("starting", "running", "backoff", "stopping", "exited", "failed")


class ClusterCollector(Collector):
    """Collector over the poller's snapshot: nothing is counted twice, nothing lingers after its process is gone."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    def collect(self) -> Iterable[Metric]:
        snapshot = self._poller.snapshot
        yield from _cluster(snapshot, self._poller)
        yield from _routers(snapshot)
        yield from _groups(snapshot)
        yield from _processes(snapshot)

    def describe(self) -> Iterable[Metric]:
        # Without this, registering would collect once before there is anything to see.
        return []


def registry(poller: Poller) -> CollectorRegistry:
    """Create a registry of its own: the library's global one is shared with everything else in the process."""
    collectors = CollectorRegistry(auto_describe=False)
    collectors.register(ClusterCollector(poller))
    return collectors


@endpoint(
    "GET", "/metrics", role=Role.viewer, tag="meta", media="text/plain", summary="api.prometheus-metrics"
)
async def metrics(call: Call) -> web.Response:
    encode, content_type = choose_encoder(call.request.headers.get("Accept", ""))
    body = encode(registry(call.context.poller))
    return web.Response(body=body, headers={"Content-Type": content_type})


def _cluster(snapshot: Snapshot, poller: Poller) -> Iterator[Metric]:
    health = assess(snapshot)
    yield _gauge("luabus_cluster_healthy", "1 when nothing is wrong", float(health.level == "ok"))
    yield _gauge("luabus_cluster_problems", "How many things are wrong", len(health.findings))
    yield _gauge("luabus_launcher_up", "1 when the launcher answers", float(snapshot.launcher_error is None))
    agree = float(snapshot.routed and not snapshot.differing_groups())
    yield _gauge("luabus_routers_consistent", "1 when all routers hold the same routing tables", agree)
    yield _gauge("luabus_dashboard_watchers", "Pages and programs that follow the changes", poller.watchers)
    yield _counter("luabus_dashboard_polls", "Looks at the cluster", poller.polls)


def _routers(snapshot: Snapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily("luabus_router_up", "1 when the router answers", labels=["router"])
    count = GaugeMetricFamily("luabus_router_connections", "Connections of the router", labels=["router"])
    pending = GaugeMetricFamily(
        "luabus_router_pending_bytes", "Bytes that wait to be read by the router's peers", labels=["router"]
    )
    for router in snapshot.routers:
        rows = [row for row in snapshot.connections if row.router == router.name]
        up.add_metric([router.name], float(router.connected))
        count.add_metric([router.name], len(rows) if router.connected else 0)
        pending.add_metric([router.name], sum(row.pending_bytes for row in rows) if router.connected else 0)
    yield from (up, count, pending)
    yield from _router_totals(snapshot)


def _router_totals(snapshot: Snapshot) -> Iterator[Metric]:
    """Counters of the routers since their start; reset with the router, as a counter may be."""
    answering = [
        (router.name, router.stats) for router in snapshot.routers if router.connected and router.stats
    ]
    for field, name, text in ROUTER_COUNTERS:
        family = CounterMetricFamily(f"luabus_router_{name}", text, labels=["router"])
        for router, stats in answering:
            family.add_metric([router], getattr(stats, field))
        yield family
    lost = CounterMetricFamily(
        "luabus_router_undeliverable", "One-way messages that went nowhere", labels=["router", "reason"]
    )
    alarms = GaugeMetricFamily("luabus_router_alarms", "What the router says must not be", labels=["router"])
    flight = GaugeMetricFamily(
        "luabus_router_requests_in_flight", "Requests not answered yet", labels=["router"]
    )
    for router, stats in answering:
        for reason, count in stats.undeliverable.items():
            lost.add_metric([router, reason], count)
        alarms.add_metric([router], len(stats.alarms))
        flight.add_metric([router], stats.requests_in_flight)
    yield from (lost, alarms, flight)


def _groups(snapshot: Snapshot) -> Iterator[Metric]:
    slots = GaugeMetricFamily(
        "luabus_group_slots", "Instances of the group, live and vacant", labels=["group"]
    )
    vacant = GaugeMetricFamily(
        "luabus_group_vacant_slots",
        "Instances of the group that are expected and not there",
        labels=["group"],
    )
    share = GaugeMetricFamily(
        "luabus_key_share", "Part of the group's keys that the instance has", labels=["group", "name"]
    )
    members = GaugeMetricFamily("luabus_group_members", "Live instances of the group", labels=["group"])
    master = GaugeMetricFamily("luabus_group_has_master", "1 when the group has a master", labels=["group"])
    epoch = GaugeMetricFamily("luabus_group_epoch", "The highest lease epoch seen", labels=["group"])
    # What no router says is not known: a last value that stays would hide that, and zeros would claim that nobody is there.
    for table in group_tables(snapshot) if snapshot.routed else ():
        slots.add_metric([table.name], table.slots)
        vacant.add_metric([table.name], table.vacant)
        members.add_metric([table.name], table.members)
        for row in table.rows:
            if row.share is not None:
                share.add_metric([table.name, row.name], row.share)
        if table.mastered:
            master.add_metric([table.name], float(table.master is not None))
            epoch.add_metric([table.name], table.epoch)
    yield from (slots, vacant, members, share, master, epoch)


def _processes(snapshot: Snapshot) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "luabus_process_state", "1 for the state the process is in", labels=["process", "service", "state"]
    )
    missing = GaugeMetricFamily(
        "luabus_process_missing",
        "1 when the process has ended and is meant to be up",
        labels=["process", "service"],
    )
    restarts = CounterMetricFamily(
        "luabus_process_restarts", "Restarts by the launcher", labels=["process", "service"]
    )
    uptime = GaugeMetricFamily(
        "luabus_process_uptime_seconds", "Since the process was started", labels=["process", "service"]
    )
    memory = GaugeMetricFamily(
        "luabus_process_resident_memory_bytes", "Resident memory", labels=["process", "service"]
    )
    cpu = GaugeMetricFamily(
        "luabus_process_cpu_ratio", "Share of one core in use", labels=["process", "service"]
    )
    for process in snapshot.processes if snapshot.launcher_error is None else ():
        labels = [process.name, process.service]
        for name in STATES:
            state.add_metric([*labels, name], float(process.state == name))
        missing.add_metric(labels, float(process.missing))
        restarts.add_metric(labels, process.restarts)
        for family, value in ((uptime, process.uptime_s), (memory, process.rss_bytes)):
            if value is not None:
                family.add_metric(labels, value)
        if process.cpu_percent is not None:
            cpu.add_metric(labels, process.cpu_percent / 100)
    yield from (state, missing, restarts, uptime, memory, cpu)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)
