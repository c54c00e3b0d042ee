"""What the cluster looks like from outside: the maps that status, processes and the HTTP API show."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from launcher.plan.plan import dashboard_url
from launcher.plan.spec import Kind, ReadyBy
from launcher.processes.usage import Usage
from launcher.runtime.alarms import sentences
from launcher.supervision.instance import Instance
from launcher.supervision.states import State
from launcher.supervision.supervisor import Supervisor


class StatusView:
    """Looks at one supervisor. Usage is measured when somebody asks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def processes(self) -> list[dict[str, Any]]:
        """All rows of `processes`, in start order."""
        return [self.process(instance) for instance in self._supervisor.instances.values()]

    def process(self, instance: Instance) -> dict[str, Any]:
        """One row."""
        return process_map(instance, instance.usage())

    async def status(self) -> dict[str, Any]:
        """The whole at a glance; `state` is starting, healthy, degraded or stopping. An alarm of a router is degraded."""
        supervisor = self._supervisor
        plan, watch = supervisor.plan, supervisor.watch
        alarms = await watch.alarms() if watch is not None else []
        connected = watch.connected if watch is not None else frozenset()
        dashboard = plan.config.dashboard
        instances = list(supervisor.instances.values())
        found = problems(instances)
        return {
            "cluster": plan.name,
            "state": "stopping" if supervisor.stopping else verdict(instances, [*found, *alarms]),
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - supervisor.started_at, 3),
            "run_dir": str(plan.run_dir),
            "problems": [*found, *sentences(alarms)],
            "alarms": alarms,
            "routers": [
                {"name": f"router.{number}", "address": address, "connected": f"router.{number}" in connected}
                for number, address in enumerate(plan.routers, 1)
            ],
            "masters": self.masters(),
            "dashboard": dashboard_url(dashboard) if dashboard.enabled else None,
            "processes": self.processes(),
        }

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


def verdict(instances: Sequence[Instance], wrong: Sequence[Any]) -> str:
    """healthy when nothing is wrong; starting while that is only because some are not up yet; else degraded.

    One that stops and is wanted up is being replaced or restarted: until it starts again, that is degraded.
    """
    if not wrong:
        return "healthy"
    states = {instance.state for instance in instances}
    worse = states & {State.BACKOFF, State.FAILED} or any(
        instance.state is State.STOPPING and instance.machine.wanted for instance in instances
    )
    return "starting" if State.STARTING in states and not worse else "degraded"


def process_map(instance: Instance, usage: Usage) -> dict[str, Any]:
    """One row of `processes`. No environment in it: that may hold secrets."""
    spec, machine = instance.spec, instance.machine
    return {
        "name": spec.name,
        "service": spec.service,
        "service_id": spec.service_id,
        "kind": str(spec.kind),
        "instance": spec.instance,
        "state": str(machine.state),
        "detail": str(machine.detail or ""),
        "why": None if machine.detail is None else machine.detail.as_map(),
        "ready": instance.ready,
        "wanted": machine.wanted,
        "pid": instance.pid,
        "restarts": machine.restarts,
        "restart_policy": machine.rules.restart.policy,
        "restarts_left": instance.restarts_left,
        "liveness_timeout_s": (spec.liveness_timeout or None) if spec.ready_by is ReadyBy.BUS else None,
        "uptime_s": round(instance.uptime_s, 3),
        "cpu_percent": usage.cpu_percent,
        "rss_bytes": usage.rss_bytes,
        "open_files": usage.open_files,
        "threads": usage.threads,
        "exit": instance.last_exit,
        "essential": spec.essential,
        "depends_on": list(spec.depends_on),
        "command": list(spec.argv),
        "cwd": spec.cwd,
        "address": None if spec.address is None else f"{spec.address[0]}:{spec.address[1]}",
        "log_lost_lines": instance.log.file.lost_lines,
        "log_problem": instance.log.file.problem,
    }


def problems(instances: Iterable[Instance]) -> list[str]:
    """What is not as it should be, one sentence each; empty when all is well."""
    found = []
    for instance in instances:
        machine = instance.machine
        ended = machine.state is State.EXITED and machine.wanted and instance.spec.kind is not Kind.COMMAND
        if machine.state in (State.BACKOFF, State.FAILED) or ended:
            found.append(f"{instance.name} is {machine.state}: {machine.detail}")
        elif machine.state is State.RUNNING and not instance.ready:
            found.append(f"{instance.name} runs, but is not ready")
        elif machine.state in (State.STARTING, State.STOPPING) and machine.wanted:
            found.append(f"{instance.name} is {machine.state}: {machine.detail}")
        log = instance.log.file
        if log.problem:
            found.append(
                f"the log of {instance.name} cannot be written ({log.lost_lines} lines lost): {log.problem}"
            )
    return found
