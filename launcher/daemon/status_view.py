"""What the cluster looks like from outside: the maps that status, processes and the HTTP API show, and its health."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from launcher.plan.plan import dashboard_url
from launcher.plan.spec import ReadyBy
from launcher.processes.usage import Usage
from launcher.supervision.instance import Instance, lacking_of
from launcher.supervision.supervisor import Supervisor
from luabus.cluster.health import assess
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import Exit, Launcher, Process, as_map, of_map
from luabus.host_addresses import format_address


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
            "keys": keys_by_name(snapshot),
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
        return process_row(instance, instance.usage())

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


def keys_by_name(snapshot: Snapshot) -> dict[str, dict[str, float | None]]:
    """By group that is reached by key: the part of the keys, 0 to 1, that each member has; None for a vacancy."""
    return {
        group.name or str(group.group): {
            slot.name or slot.service_id: (slot.share or 0.0) if slot.token else None for slot in group.slots
        }
        for group in snapshot.groups()
        if group.by_hash
    }


def process_row(instance: Instance, usage: Usage) -> Process:
    """One row of `processes`. No environment in it: that may hold secrets."""
    now = time.monotonic()
    restart_in_s = instance.machine.restart_in_s(now)
    spec, machine, lacking = instance.spec, instance.machine, lacking_of(instance)
    return Process(
        name=spec.name,
        service=spec.service,
        service_id=spec.service_id,
        kind=str(spec.kind),
        instance=spec.instance,
        state=machine.state.value,
        detail=str(machine.detail or ""),
        why=None if machine.detail is None else machine.detail.as_map(),
        ready=instance.ready,
        ready_by=spec.ready_by.name.lower(),
        lacking=None if lacking is None else lacking.as_map(),
        stuck=machine.stuck,
        restart_in_s=None if restart_in_s is None else round(restart_in_s, 3),
        completed=machine.completed,
        wanted=machine.wanted,
        held=None if instance.by_hand is None else instance.by_hand.deed,
        held_by=None if instance.by_hand is None else instance.by_hand.by,
        daemon=spec.daemon,
        pid=instance.pid,
        restarts=machine.restarts,
        restart_policy=machine.rules.restart.policy,
        restarts_left=machine.restarts_left(now),
        liveness_timeout_s=(spec.liveness_timeout or None) if spec.ready_by is ReadyBy.BUS else None,
        uptime_s=round(instance.uptime_s, 3),
        cpu_percent=usage.cpu_percent,
        rss_bytes=usage.rss_bytes,
        open_files=usage.open_files,
        threads=usage.threads,
        exit=None if instance.last_exit is None else of_map(Exit, instance.last_exit),
        essential=spec.essential,
        depends_on=tuple(spec.depends_on),
        command=tuple(spec.argv),
        cwd=spec.cwd,
        address=None if spec.address is None else format_address(*spec.address),
        log_lost_lines=instance.log.file.lost_lines,
        log_problem=instance.log.file.problem,
    )
