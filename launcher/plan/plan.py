"""A configuration as processes to run, in the order they start. Pure.

The order: routers; then the dashboard, so that the rest can be watched coming up; then services, each after those it
depends on. Stopping goes the other way round.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from launcher.config.envfile import read_env_file
from launcher.config.expansion import inherited
from launcher.config.schema import ClusterConfig, Dashboard, Limit, Probe, Restart, Service
from launcher.plan.cluster_file import cluster_document
from launcher.plan.service_settings import service_settings
from launcher.plan.spec import Kind, LifecycleSettings, ProbeSpec, ProcessSpec, ReadyBy
from launcher.processes.exit_status import signal_number
from launcher.runtime.config_file import absolute, place
from launcher.runtime.service_keys import key_file
from luabus.cluster.restart_policy import RestartPolicy
from luabus.host_addresses import format_address
from luabus.limits import DEFAULT_WAITING_LIMIT

ROUTER_RULES = LifecycleSettings(
    restart=RestartPolicy(policy="always"), start_timeout=30.0, stop_timeout=10.0
)
"""A router drains for up to 8 s, which it must not be killed in."""

UNLIMITED: Final = -1
"""As `resource.RLIM_INFINITY`."""

CLUSTER_FILE: Final = "cluster.json"
"""Where in run_dir routers find what they are told."""

PYTHON: Final = (sys.executable, "-P", "-m")
"""How a module of ours is run: its folder of work, which is the user's, is not where it finds modules."""


@dataclass(frozen=True)
class Plan:
    """All processes, in start order. `groups` maps the services on the bus to their group numbers."""

    name: str
    file: Path
    base: Path
    run_dir: Path
    config: ClusterConfig
    specs: tuple[ProcessSpec, ...]
    groups: Mapping[str, int]
    routers: tuple[str, ...]
    """`host:port` of router.1, router.2, ..."""

    @property
    def secret_file(self) -> Path:
        return self.run_dir / "secret"

    @property
    def document(self) -> dict[str, Any]:
        """What routers are told of groups and permissions."""
        return cluster_document(self.config, Counter(spec.service for spec in self.specs))

    def scaled(self, scaled: Mapping[str, int]) -> Plan:
        """The same with other numbers of instances; see `make_plan`."""
        return make_plan(self.config, self.file, scaled)

    def by_name(self) -> dict[str, ProcessSpec]:
        return {spec.name: spec for spec in self.specs}


def make_plan(config: ClusterConfig, file: Path, scaled: Mapping[str, int] | None = None) -> Plan:
    """The processes of `config`, which was read from `file` (relative paths start at its folder).

    `scaled` overrides numbers of instances by service (the verb `scale`). Raises `ConfigError` when an env_file cannot be read.
    """
    file = absolute(file)
    base = file.parent
    run_dir = run_dir_of(config.cluster.run_dir, base)
    routers = tuple(
        format_address(config.routers.host, config.routers.port + n) for n in range(config.routers.count)
    )
    groups = {name: service.group for name, service in config.services.items() if service.group is not None}
    common = _common_env(config, base, run_dir, routers, groups)
    shared = {
        "cluster.name": config.cluster.name,
        "cluster.log_level": config.cluster.log_level,
        "cluster.env": dict(config.cluster.env),
        **{
            f"routers.{key}": value
            for key, value in config.routers.model_dump(exclude={"waiting_limit"}).items()
        },
        **{f"lease.{key}": value for key, value in config.lease.model_dump().items()},
        **_bus_settings(config),
    }
    # A PYTHONPATH in the file is for the user's programs, not for ours.
    own = {name: value for name, value in common.items() if name != "PYTHONPATH"}
    of_router = {**own, "LUABUS_SECRET_FILE": str(run_dir / "secret")}
    specs = [
        _router(config, number, base, run_dir, of_router) for number in range(1, config.routers.count + 1)
    ]
    if config.dashboard.enabled:
        specs.append(_dashboard(config, base, run_dir, own, shared))
    awaited = config.awaited
    for name in start_order(config):
        service = config.services[name]
        count = (scaled or {}).get(name, service.instances)
        env_file = (
            read_env_file(file, f"services.{name}.env_file", base / service.env_file, inherited(os.environ))
            if service.env_file
            else {}
        )
        specs.extend(
            _instance(
                name, service, instance, base, run_dir, common, env_file, shared, awaited=name in awaited
            )
            for instance in range(1, count + 1)
        )
    return Plan(config.cluster.name, file, base, run_dir, config, tuple(specs), groups, routers)


def dashboard_url(section: Dashboard) -> str:
    """Where it is found, without a slash at the end; an address that means "everywhere" is shown as this machine's own."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(section.host, section.host)
    scheme = "https" if section.tls_cert is not None else "http"
    return f"{scheme}://{format_address(shown, section.port)}{section.prefix}"


def run_dir_of(run_dir: str, base: Path) -> Path:
    """`run_dir` as an absolute path; relative ones start at the folder of cluster.toml."""
    return base / Path(run_dir).expanduser()


def start_order(config: ClusterConfig) -> list[str]:
    """Services, each after those it depends on; otherwise as in the file."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for other in config.services[name].needs:
                visit(other)
            order.append(name)

    for name in config.services:
        visit(name)
    return order


def lease_url(store: str, run_dir: Path, base: Path) -> str:
    """The store as a URL that means the same in every process of the cluster."""
    if store == "sqlite":
        return f"sqlite:///{run_dir / 'lease.db'}"
    if store.startswith("sqlite:///"):
        return f"sqlite:///{base / store.removeprefix('sqlite:///')}"
    return store


def _common_env(
    config: ClusterConfig, base: Path, run_dir: Path, routers: tuple[str, ...], groups: Mapping[str, int]
) -> dict[str, str]:
    compress_above = config.bus.compress_above
    return {
        # A pipe makes Python buffer by blocks; a log that lags behind misleads.
        "PYTHONUNBUFFERED": "1",
        **config.cluster.env,
        "LUABUS_CLUSTER": config.cluster.name,
        "LUABUS_RUN_DIR": str(run_dir),
        "LUABUS_ROUTERS": ",".join(routers),
        "LUABUS_CONTROL": str(run_dir / "control.json"),
        "LUABUS_GROUPS": json.dumps(groups),
        "LUABUS_LEASE": lease_url(config.lease.store, run_dir, base),
        "LUABUS_LEASE_TTL": str(config.lease.ttl),
        "LUABUS_LEASE_RENEW": str(config.lease.renew),
        "LUABUS_LOG_LEVEL": config.cluster.log_level,
        "LUABUS_FRAME_LIMIT": str(config.bus.frame_limit),
        **({} if compress_above is None else {"LUABUS_COMPRESS_ABOVE": str(compress_above)}),
    }


def _known_as(service: str, run_dir: Path) -> dict[str, str]:
    """Its name, and the key that proves it. Not the secret, with which it could be anybody."""
    return {"LUABUS_SERVICE": service, "LUABUS_KEY_FILE": str(key_file(run_dir, service))}


def _bus_settings(config: ClusterConfig) -> dict[str, Any]:
    return {f"bus.{key}": value for key, value in config.bus.model_dump().items()}


def _router(
    config: ClusterConfig, number: int, base: Path, run_dir: Path, common: Mapping[str, str]
) -> ProcessSpec:
    host, port = config.routers.host, config.routers.port + number - 1
    name = f"router.{number}"
    argv = [*PYTHON, "luabus", "router", "--name", name, "--listen", format_address(host, port)]
    if config.routers.allow_plaintext:
        argv.append("--allow-plaintext")
    if config.routers.waiting_limit != DEFAULT_WAITING_LIMIT:
        argv += ["--waiting-limit", str(config.routers.waiting_limit)]
    return ProcessSpec(
        name=name,
        service="router",
        kind=Kind.ROUTER,
        argv=(*argv, "--cluster", str(run_dir / CLUSTER_FILE)),
        env={**common, "LUABUS_SERVICE": "router", "LUABUS_GROUP": "0", "LUABUS_INSTANCE": str(number)},
        cwd=str(base),
        rules=ROUTER_RULES,
        ready_by=ReadyBy.ROUTER,
        instance=number,
        group=0,
        address=(host, port),
        # Groups and permissions are left out: a router is told of them while it runs.
        settings={
            "cluster.name": config.cluster.name,
            "cluster.log_level": config.cluster.log_level,
            "routers.host": host,
            "routers.port": config.routers.port,
            "routers.allow_plaintext": config.routers.allow_plaintext,
            "routers.waiting_limit": config.routers.waiting_limit,
            "bus.frame_limit": config.bus.frame_limit,
        },
    )


def _dashboard(
    config: ClusterConfig, base: Path, run_dir: Path, common: Mapping[str, str], shared: Mapping[str, Any]
) -> ProcessSpec:
    section = config.dashboard
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(section.host, section.host)
    argv = [*PYTHON, "dashboard", "--host", section.host, "--port", str(section.port)]
    if section.allow_plaintext:
        argv.append("--allow-plaintext")
    if section.prefix:
        argv += ["--prefix", section.prefix]
    for name in section.allow_host:
        argv += ["--allow-host", name]
    for proxy in section.trusted_proxies:
        argv += ["--trusted-proxy", proxy]
    for flag, file in (("--tls-cert", section.tls_cert), ("--tls-key", section.tls_key)):
        if file is not None:
            argv += [flag, str(base / Path(file).expanduser())]
    at = format_address(host, section.port)
    # Over TLS only that it listens is asked: the certificate has the name by which people call it.
    ready = ("tcp", at) if section.tls_cert is not None else ("http", f"http://{at}/healthz")
    return ProcessSpec(
        name="dashboard",
        service="dashboard",
        kind=Kind.DASHBOARD,
        argv=tuple(argv),
        env={**common, **_known_as("dashboard", run_dir)},
        cwd=str(base),
        rules=LifecycleSettings(restart=RestartPolicy(policy="always"), stop_timeout=5.0),
        ready_by=ReadyBy.PROBE,
        address=(section.host, section.port),
        ready=ProbeSpec(*ready, period=5.0, timeout=2.0),
        settings={
            **shared,
            **{f"dashboard.{key}": value for key, value in section.model_dump().items()},
            **{
                f"dashboard.{key}": (file, place(base / Path(file).expanduser()))
                for key, file in (("tls_cert", section.tls_cert), ("tls_key", section.tls_key))
                if file is not None
            },
        },
    )


def _instance(
    name: str,
    service: Service,
    instance: int,
    base: Path,
    run_dir: Path,
    common: Mapping[str, str],
    env_file: Mapping[str, str],
    shared: Mapping[str, Any],
    *,
    awaited: bool,
) -> ProcessSpec:
    kind = Kind.SERVICE if service.run is not None else Kind.COMMAND
    if service.run is not None:
        argv: tuple[str, ...] = (*PYTHON, "luabus", "run", "--folder", str(base), service.run)
    else:
        argv = tuple(service.command or ())
    own = {**_known_as(name, run_dir), "LUABUS_INSTANCE": str(instance), "LUABUS_ROUTE": service.route}
    if service.group is not None:
        own["LUABUS_GROUP"] = str(service.group)
    if service.log_level is not None:
        own["LUABUS_LOG_LEVEL"] = service.log_level
    if service.ready is not None:
        ready_by = ReadyBy.PROBE
    elif service.group is not None:
        ready_by = ReadyBy.BUS
    else:
        ready_by = ReadyBy.SPAWN
    must_last = ready_by is ReadyBy.SPAWN and service.startup is None
    return ProcessSpec(
        name=f"{name}.{instance}",
        service=name,
        kind=kind,
        argv=argv,
        env={**common, **own, **env_file, **service.env},
        cwd=str(_cwd(service, base)),
        rules=LifecycleSettings(
            restart=_policy(service.restart),
            start_timeout=service.start_timeout,
            stop_timeout=service.restart.stop_timeout,
            must_report_ready=not must_last,
            job=awaited or _may_end(service),
            success_codes=frozenset(service.restart.success_exit_codes),
            load_failure_is_final=kind is Kind.SERVICE,
        ),
        ready_by=ready_by,
        instance=instance,
        group=service.group,
        elects=service.route == "master",
        stop_signal=signal_number(service.restart.stop_signal),
        stop_group=service.restart.stop_group,
        depends_on=tuple(service.needs),
        awaits_completion=tuple(name for name, need in service.needs.items() if need == "completed"),
        awaited=awaited,
        min_uptime=service.restart.min_uptime if must_last else 0.0,
        essential=service.essential,
        user=None if service.user is None else str(service.user),
        nice=service.nice,
        umask=None if service.umask is None else int(service.umask, 8),
        rlimits={key: _limits(value) for key, value in service.rlimits.items()},
        max_rss=service.max_rss,
        merge_streams=service.merge_streams,
        liveness_timeout=service.liveness_timeout if service.group is not None else 0.0,
        ready=_probe(service.ready),
        startup=_probe(service.startup),
        liveness=_probe(service.liveness),
        settings={
            **(shared if service.group is not None else {"cluster.env": shared["cluster.env"]}),
            **service_settings(name, service, env_file, base),
        },
    )


def _may_end(service: Service) -> bool:
    """Whether its end is part of the plan: that of a command which nothing asks whether it still serves, or where the file says
    which ends are good. (What others wait to be completed is a job in any case.)"""
    if service.restart.policy == "always":
        return False
    asked = service.ready is not None or service.liveness is not None or service.group is not None
    return (service.run is None and not asked) or "success_exit_codes" in service.restart.model_fields_set


def _cwd(service: Service, base: Path) -> Path:
    return base / service.cwd if service.cwd else base


def _limits(value: Limit | list[Limit]) -> tuple[int, int]:
    soft, hard = value if isinstance(value, list) else (value, value)
    return _limit(soft), _limit(hard)


def _limit(value: Limit) -> int:
    return UNLIMITED if value == "unlimited" else int(value)


def _policy(restart: Restart) -> RestartPolicy:
    return RestartPolicy(
        policy=restart.policy,
        initial=restart.backoff,
        factor=restart.backoff_factor,
        maximum=restart.backoff_max,
        jitter=restart.jitter,
        healthy_after=restart.healthy_after,
        crash_limit=restart.crash_limit,
        crash_window=restart.crash_window,
        slow_crash_limit=restart.slow_crash_limit,
        slow_crash_window=restart.slow_crash_window,
    )


def _probe(probe: Probe | None) -> ProbeSpec | None:
    if probe is None:
        return None
    if probe.tcp is not None:
        kind, target = "tcp", probe.tcp if isinstance(probe.tcp, str) else f"127.0.0.1:{probe.tcp}"
    elif probe.http is not None:
        kind, target = "http", probe.http
    elif probe.log is not None:
        kind, target = "log", probe.log
    else:
        return ProbeSpec("exec", tuple(probe.exec or ()), **_timing(probe))
    return ProbeSpec(kind, target, **_timing(probe))


def _timing(probe: Probe) -> dict[str, Any]:
    keys = ("initial_delay", "period", "timeout", "success_threshold", "failure_threshold")
    return {key: getattr(probe, key) for key in keys}
