"""What a unit looks like from outside: the maps that status, processes and the HTTP API show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launcher.spec import Kind
from launcher.states import State
from launcher.stats import Usage
from launcher.unit import Unit


def process_map(unit: Unit, usage: Usage) -> dict[str, Any]:
    """One row of `processes`. No environment in it: that may hold secrets."""
    spec, machine = unit.spec, unit.machine
    return {
        "name": spec.name,
        "service": spec.service,
        "service_id": spec.service_id,
        "kind": str(spec.kind),
        "instance": spec.instance,
        "state": str(machine.state),
        "detail": machine.detail,
        "ready": unit.ready,
        "wanted": machine.wanted,
        "pid": unit.pid,
        "restarts": machine.restarts,
        "uptime_s": round(unit.uptime_s, 3),
        "cpu_percent": usage.cpu_percent,
        "rss_bytes": usage.rss_bytes,
        "open_files": usage.open_files,
        "threads": usage.threads,
        "exit": unit.last_exit,
        "essential": spec.essential,
        "depends_on": list(spec.depends_on),
        "command": list(spec.argv),
        "cwd": spec.cwd,
        "address": None if spec.address is None else f"{spec.address[0]}:{spec.address[1]}",
        "log_lost_lines": unit.log.file.lost_lines,
        "log_problem": unit.log.file.problem,
    }


def problems(units: Iterable[Unit]) -> list[str]:
    """What is not as it should be, one sentence each; empty when all is well."""
    found = []
    for unit in units:
        machine = unit.machine
        ended = machine.state is State.EXITED and machine.wanted and unit.spec.kind is not Kind.COMMAND
        if machine.state in (State.BACKOFF, State.FAILED) or ended:
            found.append(f"{unit.name} is {machine.state}: {machine.detail}")
        elif machine.state is State.RUNNING and not unit.ready:
            found.append(f"{unit.name} runs, but is not ready")
        elif machine.state is State.STARTING and machine.wanted:
            found.append(f"{unit.name} is starting: {machine.detail}")
        if unit.log.file.problem:
            found.append(
                f"the log of {unit.name} cannot be written ({unit.log.file.lost_lines} lines lost): {unit.log.file.problem}"
            )
    return found
