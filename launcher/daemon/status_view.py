"""What the cluster looks like from outside: the maps that status, processes and the HTTP API show, and its health."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from launcher.plan.plan import dashboard_url
from launcher.supervision.instance import Instance, process_row
from launcher.supervision.supervisor import Supervisor
from luabus.cluster.health import assess
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import Launcher, Process, as_map


class StatusView:
    """Looks at one supervisor. Usage is measured when somebody asks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def processes(self) -> list[dict[str, Any]]:
        """All rows of `processes`, in start order."""
        return [as_map(row) for row in self._rows()]

    def process(self, instance: Instance) -> dict[str, Any]:
        """One row."""
        row: dict[str, Any] = as_map(self._row(instance))
        return row

    async def status(self) -> dict[str, Any]:
        """The whole at a glance; `health` is its verdict, `state` and `problems` say the same in fewer words."""
        supervisor = self._supervisor
        plan = supervisor.plan
        snapshot = await self.snapshot()
        health = assess(snapshot)
        dashboard = plan.config.dashboard
        return {
            "cluster": plan.name,
            "state": health.state,
            "health": health.as_map(),
            "uptime_s": round(time.monotonic() - supervisor.started_at, 3),
            "run_dir": str(plan.run_dir),
            "problems": [str(finding.message) for finding in health.findings],
            "alarms": [
                {"router": router.name, **as_map(alarm)}
                for router in snapshot.routers
                for alarm in (router.stats.alarms if router.stats else ())
            ],
            "routers": [
                {"name": router.name, "address": router.address, "connected": router.connected}
                for router in snapshot.routers
            ],
            "masters": self.masters(),
            "dashboard": dashboard_url(dashboard) if dashboard.enabled else None,
            **as_map(snapshot.launcher),
            "processes": [as_map(row) for row in snapshot.processes],
        }

    async def snapshot(self) -> Snapshot:
        """All that the launcher knows, for its verdict: what it supervises, and what the routers say."""
        supervisor = self._supervisor
        plan, watch = supervisor.plan, supervisor.watch
        stats, connections = await watch.counted() if watch is not None else ({}, ())
        at = time.time()
        seen = watch.snapshot(plan.name) if watch is not None else Snapshot(plan.name, at)
        return replace(
            seen,
            routers=tuple(replace(router, stats=stats.get(router.name)) for router in seen.routers),
            connections=connections,
            processes=tuple(self._rows()),
            processes_seen=at,
            launcher=Launcher(
                pid=os.getpid(),
                groups=dict(plan.groups),
                lease_ttl_s=plan.config.lease.ttl,
                stopping=supervisor.stopping,
                since=dict(seen.since),
            ),
        )

    def _rows(self) -> list[Process]:
        return [self._row(instance) for instance in self._supervisor.instances.values()]

    def _row(self, instance: Instance) -> Process:
        return process_row(instance, instance.usage(), self._supervisor.stopped_by.get(instance.name))

    def masters(self) -> dict[str, str | None]:
        """By service, for those with route master: the instance that is master now, or None."""
        watch = self._supervisor.watch
        known = watch.masters() if watch is not None else {}
        found: dict[str, str | None] = {}
        for name, service in self._supervisor.plan.config.services.items():
            if service.group is None:
                continue
            master = known.get(service.group, {}).get("master")
            if master is not None or service.route == "master":
                found[name] = None if master is None else f"{name}.{str(master).rpartition('.')[2]}"
        return found
