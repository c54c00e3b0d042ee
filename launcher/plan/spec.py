"""What the supervisor must know of one process: a frozen value, made by `plan/plan.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from luabus.cluster.restart_policy import RestartPolicy


class Kind(StrEnum):
    """What sort of process it is."""

    ROUTER = "router"
    SERVICE = "service"
    COMMAND = "command"
    DASHBOARD = "dashboard"


class ReadyBy(Enum):
    """What shows that a process is ready."""

    ROUTER = "the launcher's own connection to it"
    BUS = "its registration at every connected router"
    PROBE = "its probe"
    SPAWN = "that it runs"


@dataclass(frozen=True)
class ProbeSpec:
    """One probe; `kind` is tcp, http, exec or log, `target` the address, URL, command or pattern."""

    kind: str
    target: str | tuple[str, ...]
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True)
class LifecycleSettings:
    """What the machine must know of a process."""

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    start_timeout: float = 30.0
    stop_timeout: float = 10.0
    must_report_ready: bool = True
    """False: nothing but its being alive shows that it is ready"""
    job: bool = False
    """its end is part of the plan: one with success completes it, whether it was ready before or not"""
    success_codes: frozenset[int] = frozenset({0})
    """exit codes of an end that is no crash"""
    load_failure_is_final: bool = False


@dataclass(frozen=True)
class ProcessSpec:
    """One process. `env` holds what is set for it, without what it inherits; never shown, it may hold secrets.

    `settings` are the configuration's keys this process depends on, for telling what a reload changes. `service_id` is
    `2.1` or None for a process that is not on the bus.
    """

    name: str
    service: str
    kind: Kind
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    rules: LifecycleSettings
    ready_by: ReadyBy
    instance: int = 1
    group: int | None = None
    elects: bool = False
    """Its group elects a master."""
    address: tuple[str, int] | None = None
    """Where it listens, if the launcher knows."""
    stop_signal: int = 15
    stop_group: bool = True
    """The stop signal goes to the whole group."""
    depends_on: tuple[str, ...] = ()
    awaits_completion: tuple[str, ...] = ()
    """Those of `depends_on` that must have done their work, not only be ready."""
    awaited: bool = False
    """Others wait for its completion."""
    min_uptime: float = 0.0
    """Where nothing else shows that it is ready: it is after so many seconds alive."""
    essential: bool = False
    user: str | None = None
    nice: int | None = None
    umask: int | None = None
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    max_rss: int | None = None
    merge_streams: bool = False
    liveness_timeout: float = 0.0
    ready: ProbeSpec | None = None
    startup: ProbeSpec | None = None
    liveness: ProbeSpec | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def daemon(self) -> bool:
        """Whether it is meant to go on for ever, so that its end is missed."""
        return not self.rules.job

    @property
    def service_id(self) -> str | None:
        return None if self.group is None else f"{self.group}.{self.instance}"
