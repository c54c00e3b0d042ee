"""The shapes of what the HTTP API shows, field for field as `docs/dashboard.md` and the OpenAPI document show them.

What routers and launcher tell has its shape in `luabus.cluster.state`; what one can ask is in `requests`. Units are in names:
`_s` seconds, `_ms` milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from luabus.cluster.state import GroupState, Level, RouterTotals


class AnswerModel(BaseModel):
    """Goes out; never changes once made."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- what the routers say --------------------------------------------------------------------------------------


class RouterTable(AnswerModel):
    """One router's routing table. When it is not `connected`, `groups` is what it said last, `age_s` seconds ago."""

    router: str
    connected: bool = True
    age_s: float | None = None
    groups: tuple[GroupState, ...] = ()


class Routes(AnswerModel):
    """Every router's routing table; `consistent` when all connected ones agree (tokens are each router's own)."""

    consistent: bool
    routers: tuple[RouterTable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Router(RouterTotals):
    """A router, and what it said last, `age_s` seconds ago (null: it never answered)."""

    connected: bool
    age_s: float | None = None


# --- what the launcher says ------------------------------------------------------------------------------------


class LogLine(AnswerModel):
    """One line of a log. `stream` is `sys` for what the launcher says about the process: that it ended, and how."""

    time: str = ""
    name: str = ""
    stream: Literal["out", "err", "sys"] = "out"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None = None
    line: str


class LogLines(AnswerModel):
    """The newest lines a process wrote, oldest first."""

    name: str
    lines: tuple[LogLine, ...]


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
    """One thing that is wrong now: the process, service, group or router that it is about, and the same as code and values."""

    code: str
    level: Level
    about: str
    text: str
    values: dict[str, Any] = Field(default_factory=dict)


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
    """Where one router sends one key: its bucket, who owns that now (`service_id`, `name`), who does when all are there
    (`owner`), whether that is another (`moved`), and who is next in line. Null where nobody is."""

    router: str
    bucket: int
    service_id: str | None
    name: str | None
    owner: str | None
    next: str | None
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
