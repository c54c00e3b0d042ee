"""All that can be told of a cluster.toml before it is started: the verb `check`."""

from __future__ import annotations

from pathlib import Path

from launcher.config.load import load, problems_of
from launcher.errors import ConfigError
from launcher.plan.capacity import check_capacity
from launcher.plan.plan import Plan, make_plan
from launcher.plan.port_checks import check_address
from launcher.plan.program_checks import program_faults
from launcher.plan.spec import Kind
from launcher.runtime import lost_launcher
from launcher.runtime.run_dir import RunDir


def checked_plan(file: Path) -> Plan:
    """The plan of the file. Raises `ConfigError` with every fault that `up` would fail by."""
    plan = make_plan(load(file, here=True), file)
    check_capacity(plan)
    faults = list(program_faults(plan))
    if not _runs(plan):
        faults += [
            (("dashboard" if spec.kind is Kind.DASHBOARD else "routers", "port"), reason)
            for spec in plan.specs
            if (reason := check_address(spec))
        ]
    if faults:
        raise ConfigError(str(file), problems_of(file, faults))
    return plan


def _runs(plan: Plan) -> bool:
    """Whether the cluster itself may be who holds its ports."""
    run_dir = RunDir(plan.run_dir)
    return (
        run_dir.holder() is not None
        or run_dir.writer() is not None
        or lost_launcher.find(plan.run_dir) is not None
    )
