"""The shapes of what the HTTP API shows, field for field as `docs/dashboard.md` and the OpenAPI document show them.

It is read tolerantly from the routers and the launcher: a newer one may say more than this dashboard knows. Units are in names:
`_s` seconds, `_ms` milliseconds, `_bytes` bytes, `_percent` of one core. What one can ask is in `asked`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ServiceIdText = Annotated[str, BeforeValidator(str), Field(examples=["2.1"])]
ProcessState = Literal["starting", "running", "backoff", "stopping", "exited", "failed"]
Level = Literal["ok", "warn", "bad"]


class AnswerModel(BaseModel):
    """Goes out; never changes once made."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- what the routers say --------------------------------------------------------------------------------------


class Slot(AnswerModel):
    """One entry of a group. `token` 0 is a vacant slot; `slot` is null for a member outside the hash array."""

    service_id: ServiceIdText
    name: str
    token: int
    slot: int | None = None


class Group(AnswerModel):
    """A group in one router's table. `master` is a service id, or null; `epoch` the highest lease epoch seen.

    `mode` is how callers usually reach it; `elected` when its master is found by lease and not named by hand.
    """

    group: int
    name: str
    mode: str = ""
    elected: bool = False
    master: ServiceIdText | None = None
    epoch: int = 0
    slots: tuple[Slot, ...] = ()


class RouterTable(AnswerModel):
    """One router's routing table. When it is not `connected`, `groups` is what it said last, `age_s` seconds ago."""

    router: str
    connected: bool = True
    age_s: float | None = None
    groups: tuple[Group, ...] = ()


class Routes(AnswerModel):
    """Every router's routing table; `consistent` when all connected ones agree (tokens are each router's own)."""

    consistent: bool
    routers: tuple[RouterTable, ...]


class Connection(AnswerModel):
    """One connection of one router. Rates are per second, over the dashboard's last two looks."""

    router: str
    token: int
    service_id: ServiceIdText | None = None
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
    preferred: bool = Field(default=False, description="whether this peer sends through this router")
    undeliverable: dict[str, int] = Field(default_factory=dict)
    last_error: str | None = Field(
        default=None,
        description="what went wrong last: refused, lost, or answered by this peer with an error",
    )
    last_error_at: float | None = Field(default=None, description="when, in seconds since the epoch")
    rate_in: float = Field(default=0.0, description="messages per second from this peer")
    rate_out: float = Field(default=0.0, description="messages per second to this peer")
    byte_rate_in: float = Field(default=0.0, description="bytes per second from this peer")
    byte_rate_out: float = Field(default=0.0, description="bytes per second to this peer")


class Closed(AnswerModel):
    """A connection that ended: whose, why, and when (seconds since the epoch)."""

    router: str
    token: int = 0
    service_id: ServiceIdText | None = None
    name: str = ""
    peer: str = ""
    reason: str = ""
    at: float = 0.0


class Alarm(AnswerModel):
    """Something a router says must not be, such as two masters with one epoch. `since` in seconds since the epoch."""

    kind: str
    text: str
    since: float = 0.0
    count: int = 1


class RouterTotals(AnswerModel):
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
    undeliverable: dict[str, int] = Field(default_factory=dict)
    draining: bool = False
    alarms: tuple[Alarm, ...] = ()


class RouterStats(RouterTotals):
    """As a router tells it: with the connections that ended last."""

    closed: tuple[Closed, ...] = ()


class Router(RouterTotals):
    """A router, and what it said last, `age_s` seconds ago (null: it never answered)."""

    connected: bool
    age_s: float | None = None


# --- what the launcher says ------------------------------------------------------------------------------------


class Exit(AnswerModel):
    """How a process ended: with a code, or by a signal (`SIGKILL`); neither when it could not be started. `text` says it in any
    case. `stderr` has the last lines of an end that was not asked for and no success."""

    code: int | None = None
    signal: str | None = None
    text: str = ""
    time: str = Field(default="", examples=["2026-01-31T12:00:00.000Z"])
    stderr: tuple[str, ...] = ()


class Process(AnswerModel):
    """One supervised process. `exit` says how it ended last, null if it never did; `ready` false while it is running: it was
    ready, and is not at this moment. `detail` says why it is in its state, in the launcher's words."""

    name: str
    service: str = ""
    service_id: ServiceIdText | None = None
    kind: str = Field(default="", description="router, service, command (any other program) or dashboard")
    state: ProcessState
    detail: str = ""
    ready: bool | None = None
    wanted: bool | None = Field(default=None, description="whether it is meant to be up: nobody stopped it")
    pid: int | None = None
    restarts: int = 0
    restart_policy: str = Field(default="", description="always, on-failure or never")
    restarts_left: int | None = Field(
        default=None,
        description="it would be started again after so many more crashes, if they came now; at 0 the next is its last",
    )
    liveness_timeout_s: float | None = Field(
        default=None, description="at no router for so long, it is replaced as after a crash; null: never"
    )
    essential: bool = Field(default=False, description="whether the cluster stops when this has failed")
    uptime_s: float | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    exit: Exit | None = None

    @property
    def shown_state(self) -> str:
        """The state, or `not ready` for one that is running and should be ready."""
        return "not ready" if self.state == "running" and self.ready is False else self.state

    @property
    def ours(self) -> bool:
        """A router, a service or the dashboard: it stops cleanly on SIGTERM and SIGINT, with exit code 0, and is meant to stay
        up. Of any other program neither is known."""
        return self.kind in ("router", "service", "dashboard")

    @property
    def missing(self) -> bool:
        """It ended by itself as its policy allows, so that nothing starts it again, though it is meant to be up."""
        return self.state == "exited" and self.wanted is True and self.ours


class LogLines(AnswerModel):
    """The newest lines a process wrote, oldest first."""

    name: str
    lines: tuple[str, ...]


class Event(AnswerModel):
    """Something that happened. `by` and `origin` say who did it and from where, when a person did."""

    seq: int
    at: str
    kind: str
    subject: str = ""
    text: str = ""
    level: Level = "ok"
    by: str = ""
    origin: str = ""
    source: Literal["dashboard", "launcher"] = "dashboard"


class Events(AnswerModel):
    """Events, oldest first; ask for more with `after=next`, and for those before with `before` and the first one's number.
    `oldest` is the lowest number that is still kept: whoever had read up to less has missed events."""

    events: tuple[Event, ...]
    next: int
    oldest: int


# --- what the dashboard says -----------------------------------------------------------------------------------


class Problem(AnswerModel):
    """One thing that is wrong now, and the page that shows it."""

    level: Level
    text: str
    subject: str = ""


class RouterStatus(AnswerModel):
    router: str
    address: str
    connected: bool
    age_s: float | None = None


class GroupStatus(AnswerModel):
    """Counted at the router that has it worst, of those that answer and have not just started: the most vacancies, the fewest
    members; `master` null when one of them knows none. While no router answers, as last known."""

    group: int
    name: str
    slots: int
    vacant: int
    members: int
    master: str | None = None
    epoch: int = 0


class Status(AnswerModel):
    """The cluster's health in one sentence, and what it is made of."""

    cluster: str
    level: Level
    sentence: str
    problems: tuple[Problem, ...]
    consistent: bool
    routers: tuple[RouterStatus, ...]
    groups: tuple[GroupStatus, ...]
    processes: dict[str, int] = Field(description="how many processes are in each state")
    launcher: bool = Field(description="whether the launcher answers")
    messages_per_s: float = 0.0


class KeyPlace(AnswerModel):
    """Where one router sends one key: its slot, who is there, and whether the owner was vacant and the next live one took it."""

    router: str
    slot: int | None
    service_id: str | None
    name: str | None
    owner: str | None
    moved: bool


class KeyPlaces(AnswerModel):
    group: int
    key: str
    hash: int
    routers: tuple[KeyPlace, ...]
    agree: bool


class Series(AnswerModel):
    """One line of a chart: whose it is, and its values, oldest first; null where nothing was known."""

    name: str
    values: tuple[float | None, ...]


class Chart(AnswerModel):
    """Means over `step_s` seconds each, beginning at the times of `at` (seconds since the epoch)."""

    kind: str
    unit: str
    step_s: int
    at: tuple[int, ...]
    series: tuple[Series, ...]


class MethodShown(AnswerModel):
    """What a service declares, and how it went since its instances started; latencies in ms, over all of them."""

    name: str
    signature: str = "()"
    parameters: tuple[str, ...] = ()
    required: int = 0
    more: bool = Field(default=False, description="whether it takes further arguments after these")
    keyword_only: tuple[str, ...] = Field(
        default=(), description="arguments that no caller can give, for they travel by position"
    )
    doc: str = ""
    calls: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class GroupMethods(AnswerModel):
    """The methods of a group's instances, merged; `silent` names the instances that did not answer, and why."""

    group: int
    name: str
    instances: tuple[str, ...]
    methods: tuple[MethodShown, ...]
    silent: dict[str, str] = Field(default_factory=dict)


class CallFailed(AnswerModel):
    """An error in place of a value: the luabus error's type, its text, and the handler's traceback when it raised."""

    type: str
    text: str
    traceback: str = ""


class CallAnswer(AnswerModel):
    """One answer and who gave it. Bytes are shown as `{"bytes": "hex"}`."""

    service_id: str | None
    name: str
    value: Any = None
    error: CallFailed | None = None


class Called(AnswerModel):
    """Every answer to a request, and the time until the last one. One way there is none; `warning` then says that nobody got
    it, as far as the routing tables tell."""

    route: str
    method: str
    elapsed_ms: float
    answers: tuple[CallAnswer, ...]
    warning: str = ""


class Job(AnswerModel):
    """Work of the launcher that takes a while: `done` of `total` processes are as they shall be."""

    number: int
    verb: str
    name: str
    state: Literal["running", "done", "failed"]
    done: int
    total: int
    text: str = ""


class Session(AnswerModel):
    """`role` null: nobody."""

    role: str | None = None
    by: str = ""


class ProblemDetail(AnswerModel):
    """RFC 9457 `application/problem+json`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: tuple[dict[str, str], ...] = ()
    error: str = Field(default="", description="the type of the luabus error, when one caused this")
