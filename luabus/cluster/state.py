"""What routers and launcher tell of a cluster, as plain values: the names of the fields stand here and nowhere else.

The launcher fills its own in, the routers' come as maps (`of_map`); the HTTP API shows them field for field. A newer peer may say
more than this knows: that is left out. Units are in names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes, `_percent` of one
core; a field's `description` is for the API's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Final, Literal, TypeVar

from luabus import messages
from luabus.ids import ServiceId
from luabus.messages import Message
from luabus.routing.buckets import Buckets, bucket_of, in_line

Level = Literal["ok", "warn", "bad"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "warn", "bad")
ProcessState = Literal["starting", "running", "backoff", "stopping", "exited", "failed"]

T = TypeVar("T")


def worst(levels: Sequence[Level]) -> Level:
    """`ok` when there are none."""
    return max(levels, key=LEVELS.index, default="ok")


def of_map(kind: Callable[..., T], value: Mapping[str, Any], **nested: Any) -> T:
    """A value of this dataclass; `nested` are fields made already. Raises TypeError when one without a default is missing."""
    given = {name: value[name] for name in _names(kind) if name in value}
    return kind(**(given | nested))


def as_map(value: Any) -> Any:
    """A dataclass, and what lies in it, as msgpack and JSON can carry it; `of_map` and `read` make it again."""
    if is_dataclass(value):
        return {name: as_map(getattr(value, name)) for name in _names(value.__class__)}
    if isinstance(value, tuple):
        return [as_map(item) for item in value]
    return value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _described(description: str, default: Any) -> Any:
    return field(default=default, metadata={"description": description})


# --- what the routers say --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of a group. `token` 0 is vacant: somebody is expected there. `share` is the part of the keys that the instance
    has now, 0 to 1; null where the group is not asked by key."""

    service_id: str = field(metadata={"examples": ["2.1"]})
    name: str
    token: int
    share: float | None = None


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group in one router's table. `master` is a service id, or null; `epoch` the highest lease epoch seen.

    `mode` is how callers usually reach it; `elected` when its master is found by lease and not named by hand.
    """

    group: int
    name: str
    mode: str = ""
    elected: bool = False
    master: str | None = None
    epoch: int = 0
    slots: tuple[Slot, ...] = ()

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> GroupState:
        """As `luabus.routes` and `luabus.group` give it."""
        return of_map(cls, value, slots=tuple(of_map(Slot, slot) for slot in value.get("slots", ())))

    @staticmethod
    def bucket(hashed: int) -> int:
        """The bucket of the keys of this hash: they have one owner."""
        return bucket_of(hashed)

    def line(self, hashed: int) -> list[Slot]:
        """All entries in the order in which they own the keys of this hash: the first live one does now."""
        slots = {int(ServiceId.parse(slot.service_id)): slot for slot in self.slots}
        return [slots[member] for member in in_line(bucket_of(hashed), slots)]

    def owners(self, away: Collection[str] = (), back: Collection[str] = ()) -> list[str | None]:
        """The service id of each bucket's owner: of the live without `away`, and with `back`."""
        live = {slot.service_id for slot in self.live}.difference(away).union(back)
        ids = {int(ServiceId.parse(service_id)): service_id for service_id in live}
        return [ids.get(owner) for owner in Buckets(ids).owners(ids)]

    @property
    def live(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.token)

    @property
    def by_hash(self) -> bool:
        """Whether callers reach it by key, as it says or as some have done."""
        return self.mode == "hash" or any(slot.share is not None for slot in self.slots)

    @property
    def elects(self) -> bool:
        """Whether its master is found by lease, so that an instance can be promoted."""
        return self.elected or self.epoch > 0

    @property
    def mastered(self) -> bool:
        """Whether it should have a master: whoever elects one, or has had one, is called by it."""
        return self.elects or self.mode == "master"


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """One connection of one router. Rates are per second, over the last two looks of whoever shows it."""

    router: str
    token: int
    service_id: str | None = None
    name: str = ""
    peer: str = ""
    rtt_ms: float | None = None
    idle_s: float | None = None
    pending_bytes: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connected_s: float = 0.0
    requests_in_flight: int = 0
    preferred: bool = _described("whether this peer sends through this router", False)
    undeliverable: dict[str, int] = field(default_factory=dict)
    last_error: str | None = _described(
        "what went wrong last: refused, lost, or answered by this peer with an error", None
    )
    last_error_at: float | None = _described("when, in seconds since the epoch", None)
    rate_in: float = _described("messages per second from this peer", 0.0)
    rate_out: float = _described("messages per second to this peer", 0.0)
    byte_rate_in: float = _described("bytes per second from this peer", 0.0)
    byte_rate_out: float = _described("bytes per second to this peer", 0.0)

    @property
    def of_a_service(self) -> bool:
        """Whether its peer has joined with an id of its own; a client's id begins with a word."""
        return self.service_id is not None and self.service_id[:1].isdigit()


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection that ended: whose, why, and when (seconds since the epoch)."""

    router: str
    token: int = 0
    service_id: str | None = None
    name: str = ""
    peer: str = ""
    reason: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a router says must not be, such as two masters with one epoch. `text` says it in English, `code` and `values` say
    the same to programs; `since` in seconds since the epoch."""

    kind: str
    text: str
    since: float = 0.0
    count: int = 1
    code: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouterTotals:
    """One router's totals since it started. `undeliverable` counts one-way messages that went nowhere, by reason."""

    router: str
    address: str = ""
    pid: int | None = None
    version: str = ""
    uptime_s: float = 0.0
    cpu_s: float = 0.0
    connections: int = 0
    refused: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    requests_in_flight: int = 0
    undeliverable: dict[str, int] = field(default_factory=dict)
    draining: bool = False
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class RouterStats(RouterTotals):
    """As a router tells it: with the connections that ended last."""

    closed: tuple[Closed, ...] = ()

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> RouterStats:
        """As `luabus.stats` gives it."""
        alarms = tuple(of_map(Alarm, alarm) for alarm in value.get("alarms", ()))
        closed = tuple(of_map(Closed, row) for row in value.get("closed", ()))
        return of_map(cls, value, alarms=alarms, closed=closed)


# --- what the launcher says ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: with a code, or by a signal (`SIGKILL`); neither when it could not be started. `text` says it in any
    case. `stderr` has the last lines of an end that was not asked for and no success."""

    code: int | None = None
    signal: str | None = None
    text: str = ""
    time: str = field(default="", metadata={"examples": ["2026-01-31T12:00:00.000Z"]})
    stderr: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.text or self.signal:
            return self.text or self.signal or ""
        return f"exit code {self.code}" if self.code is not None else ""


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised process. `exit` says how it ended last, null if it never did; `ready` false while it is running: it was
    ready, and is not at this moment. `detail` says why it is in its state, in the launcher's words."""

    name: str
    state: ProcessState
    service: str = ""
    service_id: str | None = None
    kind: str = _described("router, service, command (any other program) or dashboard", "")
    instance: int = 1
    detail: str = ""
    why: dict[str, Any] | None = field(default=None, metadata={"description": "`detail` by code and values"})
    ready: bool | None = None
    ready_by: str = _described("what shows that it is ready: router, bus, probe or spawn", "")
    lacking: dict[str, Any] | None = field(
        default=None,
        metadata={
            "description": "what it is not ready for, while it has a process: code and values; null: not known"
        },
    )
    stuck: bool = _described("whether it waits for what does not come unless somebody does something", False)
    restart_in_s: float | None = _described(
        "it is started again after so many seconds; null: it does not wait", None
    )
    completed: bool = _described("whether its last run ended by itself, with success", False)
    wanted: bool | None = _described("whether it is meant to be up: nobody stopped it", None)
    held: str | None = _described("what somebody did to it by hand, such as stopped; null: nothing", None)
    held_by: str | None = _described("who", None)
    daemon: bool | None = _described(
        "whether it is meant to go on for ever: its end is missed. If not, it is a job", None
    )
    pid: int | None = None
    restarts: int = 0
    restart_policy: str = _described("always, on-failure or never", "")
    restarts_left: int | None = _described(
        "it would be started again after so many more crashes, if they came now; at 0 the next is its last",
        None,
    )
    liveness_timeout_s: float | None = _described(
        "at no router for so long, it is replaced as after a crash; null: never", None
    )
    essential: bool = _described("whether the cluster stops when this has failed", False)
    uptime_s: float | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    open_files: int | None = None
    threads: int | None = None
    exit: Exit | None = None
    depends_on: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    cwd: str = ""
    address: str | None = None
    log_lost_lines: int = 0
    log_problem: str = ""

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Process:
        """As the launcher's `processes` gives it."""
        ended = value.get("exit")
        return of_map(cls, value, exit=None if ended is None else of_map(Exit, ended))

    @property
    def group(self) -> int | None:
        """The number of the group that it joins; None for a router, and for what is not on the bus."""
        number = self.service_id.partition(".")[0] if self.service_id else "0"
        return int(number) or None

    @property
    def reason(self) -> Message:
        """`detail` as a message."""
        return messages.of_map(self.why) or Message.verbatim(self.detail)

    @property
    def shown_state(self) -> str:
        """The state, or what was done by hand to a process that lives; `not ready` for one that runs and should be, `waiting` for
        one that cannot start, `done` for a job that is."""
        if self.held is not None and self.pid is not None and self.wanted is not False:
            return self.held
        if self.stuck:
            return "waiting"
        if self.state == "exited" and self.completed and self.daemon is False and self.wanted is not False:
            return "done"
        return "not ready" if self.state == "running" and self.ready is False else self.state

    @property
    def ours(self) -> bool:
        """A router, a service or the dashboard: it stops cleanly on SIGTERM and SIGINT, with exit code 0, and is meant to stay
        up. Of any other program neither is known."""
        return self.kind in ("router", "service", "dashboard")

    @property
    def missing(self) -> bool:
        """It ended by itself as its policy allows, so that nothing starts it again, though it is meant to be up."""
        daemon = self.ours if self.daemon is None else self.daemon
        return self.state == "exited" and self.wanted is True and daemon

    @property
    def on_its_first_way_up(self) -> bool:
        """It is starting, and never ran before."""
        return self.state == "starting" and not self.stuck and self.exit is None and self.restarts == 0


@dataclass(frozen=True, slots=True)
class Launcher:
    """What the launcher says of itself and of the plan it follows. `groups`: those of the configuration, by name; `since`: see
    `Snapshot`."""

    pid: int | None = None
    groups: dict[str, int] = field(default_factory=dict)
    lease_ttl_s: float = 10.0
    stopping: bool = False
    since: dict[str, float] = field(default_factory=dict)
