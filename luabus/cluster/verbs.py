"""The verbs: what people ask of a running cluster, each in one row.

The command line, the control channel, the HTTP API with its OpenAPI document, the pages' buttons and what is written down are
made from these rows. A new verb is a row, an operation of the launcher by its name (`launcher/supervision/operations.py`), and
a preview (`preview_processes.PREVIEWS`). Its texts have codes made of its name: `audit.NAME` (who did what), `help.NAME` (the
command line's help), `word.NAME`, and for pages `api.verb-NAME`, `ui.NAME` and `ui.NAME-service`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from luabus.cluster.state import Process


class Takes(StrEnum):
    """What a verb is told: the shape of its arguments at every door."""

    NAMES = auto()
    """names of processes or services (HTTP: one, `{"name"}`)"""
    SIGNAL = auto()
    """a name and a signal, SIGKILL by default"""
    COUNT = auto()
    """a service and its number of instances"""
    FILE = auto()
    """nothing but `dry_run`: cluster.toml says the rest"""
    NOTHING = auto()
    ENTRY = auto()
    """an entry of the routing table"""
    INSTANCE = auto()
    """a service id or its name"""
    CONNECTION = auto()
    """a router and the token of one of its connections"""


@dataclass(frozen=True, slots=True)
class Verb:
    """`role`: who may use it over HTTP; None keeps it to the command line. `via`: who carries it out. `takes_long`: over HTTP
    it is a job, whose progress is shown. `offered`: whether it makes sense for a process as it is now; None offers no button
    for one. `of_service`: whether it is offered for all of a service at once. `danger`: its button is red."""

    name: str
    takes: Takes
    role: Literal["operator", "admin"] | None = "operator"
    via: Literal["launcher", "routers"] = "launcher"
    takes_long: bool = False
    offered: Callable[[Process], bool] | None = None
    of_service: bool = True
    danger: bool = False

    @property
    def audit(self) -> str:
        return f"audit.{self.name}"

    @property
    def help(self) -> str:
        return f"help.{self.name}"

    @property
    def summary(self) -> str:
        return f"api.verb-{self.name}"

    @property
    def label(self) -> str:
        """Of its button at one process."""
        return f"ui.{self.name}"

    @property
    def service_label(self) -> str:
        """Of its button at a service."""
        return f"ui.{self.name}-service"


def _may_restart(process: Process) -> bool:
    # While one is restarted, nothing of that changes.
    return process.state in ("running", "starting") or (
        process.state == "stopping" and process.wanted is not False
    )


def _may_start(process: Process) -> bool:
    return process.state in ("backoff", "exited", "failed") or (
        process.state == "stopping" and process.wanted is False
    )


def _may_stop(process: Process) -> bool:
    return _may_restart(process) or process.state == "backoff"


def _may_pause(process: Process) -> bool:
    return process.state == "running" and process.pid is not None and process.held != "paused"


def _may_resume(process: Process) -> bool:
    return process.pid is not None and process.held == "paused"


def _has_process(process: Process) -> bool:
    return process.pid is not None


VERBS: Final = (
    Verb("restart", Takes.NAMES, takes_long=True, offered=_may_restart),
    Verb("start", Takes.NAMES, takes_long=True, offered=_may_start),
    Verb("scale", Takes.COUNT, takes_long=True),
    Verb("stop", Takes.NAMES, takes_long=True, offered=_may_stop, danger=True),
    Verb("pause", Takes.NAMES, offered=_may_pause, danger=True),
    Verb("resume", Takes.NAMES, offered=_may_resume),
    Verb("kill", Takes.SIGNAL, offered=_has_process, of_service=False, danger=True),
    Verb("reload", Takes.FILE, role=None),
    Verb("down", Takes.NOTHING, role=None),
    Verb("register", Takes.ENTRY, role="admin", via="routers"),
    Verb("promote", Takes.INSTANCE, role="admin", via="routers"),
    Verb("close", Takes.CONNECTION, role="admin", via="routers"),
)
"""In the order of the buttons."""

BY_NAME: Final = {verb.name: verb for verb in VERBS}


def launchers() -> tuple[Verb, ...]:
    """Those that the launcher carries out: the methods of its control channel."""
    return tuple(verb for verb in VERBS if verb.via == "launcher")


def offered(process: Process) -> tuple[Verb, ...]:
    """What makes sense for a process now."""
    return tuple(verb for verb in VERBS if verb.offered is not None and verb.offered(process))


def offered_to_all(processes: Iterable[Process]) -> tuple[Verb, ...]:
    """What makes sense for any of a service's processes, done to all of them."""
    members = list(processes)
    return tuple(
        verb
        for verb in VERBS
        if verb.of_service and verb.offered is not None and any(verb.offered(process) for process in members)
    )
