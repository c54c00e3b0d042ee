"""The models of cluster.toml: every key, its type, default, limits and meaning.

`docs/cluster-toml.md` and `docs/cluster.schema.json` are generated from these, so a field's `description` is its
documentation. Rules that need more than one key stand in `rules.py`; reading the file in `load.py`.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from launcher.processes.exit_status import signal_number
from luabus.limits import DEFAULT_FRAME_LIMIT, DEFAULT_WAITING_LIMIT, OPTION_RANGES
from luabus.quantities import parse_size

_WAITING: Final = OPTION_RANGES["waiting_limit"]

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"
"""Names of services: they appear in instance names (`mail.1`), file names and the command line."""

PREFIX_PATTERN = r"^(/[A-Za-z0-9._~-]+)*$"
"""A path without a slash at its end, or nothing."""
HOST_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Port = Annotated[int, Field(ge=1, le=65535)]
ExitCode = Annotated[int, Field(ge=0, le=255)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1)]
Limit = int | Literal["unlimited"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def _signal(value: Any) -> Any:
    if isinstance(value, str):
        signal_number(value)
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            f'found "{value}"; allowed: an address or a network, such as "127.0.0.1" or "10.0.0.0/8"'
        ) from None
    return value


def _level(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Signal = Annotated[str, BeforeValidator(_signal)]
Level = Annotated[LogLevel, BeforeValidator(_level)]


class Section(BaseModel):
    """Unknown keys are errors; numbers are not made from strings, nor strings from numbers."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Cluster(Section):
    """The cluster as a whole."""

    name: Name = "cluster"
    """What the cluster is called in listings and on the dashboard."""
    run_dir: Annotated[str, Field(min_length=1)] = ".luabus"
    """Folder for logs, the bus' secret, the dashboard's token and the control channel, relative to this file. Made
    with mode 0700."""
    log_level: Level = "INFO"
    """What Python services log (`LUABUS_LOG_LEVEL`)."""
    env: dict[str, str] = {}
    """Environment variables for every process of the cluster; `PYTHONPATH` for services only. `${VAR}`: see "Values from the
    environment"."""


class Routers(Section):
    """The routers: every service connects to all of them."""

    count: Annotated[int, Field(ge=1, le=64)] = 2
    """How many routers."""
    host: str = "127.0.0.1"
    """Address they listen at."""
    port: Port = 7070
    """router.1 listens at this port, router.2 at the next one, and so on."""
    allow_plaintext: bool = False
    """Must be true to listen beyond loopback: the bus authenticates both ends but does not encrypt."""
    waiting_limit: Annotated[int, BeforeValidator(parse_size), Field(ge=_WAITING.least, le=_WAITING.most)] = (
        DEFAULT_WAITING_LIMIT
    )
    """What one router keeps for all slow receivers together (bytes, or such as "512MB"); each of them has 8 MiB at most."""


class Lease(Section):
    """Where masters are decided."""

    store: str = "sqlite"
    """`sqlite` (a file in run_dir), `sqlite:///PATH`, `postgresql://...`, `redis://...` or `etcd://HOST:PORT`."""
    ttl: PositiveSeconds = 10.0
    """Seconds without renewal after which another instance becomes master."""
    renew: PositiveSeconds = 1.0
    """Seconds between two renewals."""


class Bus(Section):
    """What goes over the bus."""

    frame_limit: Annotated[int, BeforeValidator(parse_size), Field(ge=1024, le=1 << 30)] = DEFAULT_FRAME_LIMIT
    """The longest message (bytes, or such as "4MB"): a longer one is refused before a byte of it is kept."""
    compress_above: Size | None = None
    """Services compress bodies from this size on (bytes, or such as "4KB"); without it, none."""


class Dashboard(Section):
    """The dashboard and the HTTP admin API."""

    enabled: bool = True
    """False: the cluster runs without it."""
    host: str = "127.0.0.1"
    """Address it listens at."""
    port: Port = 8070
    """Port it listens at."""
    allow_plaintext: bool = False
    """Must be true to listen beyond loopback without `tls_cert` and `tls_key`: whoever reads the network reads tokens."""
    tls_cert: Annotated[str, Field(min_length=1)] | None = None
    """Certificate chain (PEM), relative to this file; with it and `tls_key` the dashboard serves https."""
    tls_key: Annotated[str, Field(min_length=1)] | None = None
    """The certificate's private key (PEM), relative to this file."""
    prefix: Annotated[str, Field(pattern=PREFIX_PATTERN)] = ""
    """The path under which a reverse proxy shows it, such as `"/luabus"`; the proxy takes it away again."""
    allow_host: list[Annotated[str, Field(pattern=HOST_PATTERN)]] = []
    """Further names by which it may be called, such as `["luabus.example.org"]`: a proxy's, or this machine's."""
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = []
    """Addresses or networks of reverse proxies, such as `["127.0.0.1"]`: only from them `X-Forwarded-For` and `X-Forwarded-Proto`
    are believed."""


class Access(Section):
    """Who may call whom, unless a service's `callers` say so; and who may steer by hand."""

    default: Literal["allow", "deny"] = "allow"
    """Whether a service without `callers` lets everybody in (`allow`) or nobody (`deny`). A service's own instances may always
    call each other."""
    admin: list[str] = ["dashboard"]
    """Services that may register, close connections and promote, beside whoever holds the cluster's secret."""


class Logs(Section):
    """The captured output of every process, in run_dir/logs."""

    max_size: Size = 10 * 1024 * 1024
    """A log file is rotated when it would exceed this size (bytes, or such as "10MB")."""
    keep: Annotated[int, Field(ge=0, le=1000)] = 5
    """How many rotated files are kept beside the current one."""


class Restart(Section):
    """What happens when an instance ends, and how it is stopped."""

    policy: Literal["always", "on-failure", "never"] = "on-failure"
    """`on-failure`: started again unless it ended with one of `success_exit_codes`; `always`; `never`."""
    backoff: PositiveSeconds = 0.5
    """Seconds before the first new start."""
    backoff_factor: Annotated[float, Field(ge=1)] = 2.0
    """Each further crash in a row multiplies the delay by this."""
    backoff_max: PositiveSeconds = 30.0
    """The longest delay."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The delay varies at random by this part, up and down, so that not all come back at once."""
    healthy_after: Seconds = 60.0
    """After so many seconds ready, the delay is back at its start."""
    crash_limit: Annotated[int, Field(ge=1)] = 5
    """So many crashes within `crash_window` seconds, or starts in a row that were not ready in time: the instance has failed for
    good."""
    crash_window: PositiveSeconds = 60.0
    """Seconds for `crash_limit`."""
    slow_crash_limit: Annotated[int, Field(ge=1)] = 20
    """So many crashes within `slow_crash_window` seconds: the same, for those which live a while each time."""
    slow_crash_window: PositiveSeconds = 3600.0
    """Seconds for `slow_crash_limit`."""
    min_uptime: Seconds = 1.0
    """A process that nothing else shows to be ready (no `ready`, no `startup`, no group) counts as ready after so many seconds
    alive."""
    success_exit_codes: Annotated[list[ExitCode], Field(min_length=1)] = [0]
    """Exit codes of an end that is no crash. A service for which they are given may end so, and is not missed then: see
    Jobs."""
    stop_signal: Signal = "SIGTERM"
    """What asks the process group to end."""
    stop_group: bool = True
    """False: `stop_signal` goes to the main process only, which ends the others in its own time; SIGKILL goes to all of them in
    any case."""
    stop_timeout: Seconds = 10.0
    """Seconds after which what still lives of it gets SIGKILL."""


class Probe(Section):
    """One way to ask a process how it is: exactly one of `tcp`, `http`, `exec`, `log`."""

    tcp: str | Port | None = None
    """Succeeds when a connection to this port (`8080` or `"HOST:PORT"`) is accepted."""
    http: str | None = None
    """Succeeds when GET of this URL (`"http://127.0.0.1:8080/healthz"`) answers 200 to 399."""
    exec: Annotated[list[str], Field(min_length=1)] | None = None
    """Succeeds when this command ends with exit code 0."""
    log: str | None = None
    """Succeeds when a line of the output matches this regular expression."""
    initial_delay: Seconds = 0.0
    """Seconds to wait before the first try."""
    period: PositiveSeconds = 10.0
    """Seconds between tries; before the first success tries are made each second, or more often if this is shorter."""
    timeout: PositiveSeconds = 1.0
    """Seconds after which a try has failed."""
    success_threshold: Annotated[int, Field(ge=1)] = 1
    """So many successes in a row count as success."""
    failure_threshold: Annotated[int, Field(ge=1)] = 3
    """So many failures in a row count as failure."""


class Service(Section):
    """One service: one or more instances of a program. The table's name is the service's name."""

    run: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """A luabus.Service as `"package.module:attribute"`; found from `cwd` and the folder of this file, behind Python's own modules
    and before installed ones."""
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """Any other program, as a list of words; no shell is involved. It is given a `PYTHONPATH` only by `env`."""
    group: Annotated[int, Field(ge=1, le=255)] | None = None
    """Number of the service's group on the bus. Needed with `run`; with `command` if the program joins the bus."""
    instances: Annotated[int, Field(ge=0, le=65535)] = 1
    """How many instances: NAME.1, NAME.2, ..."""
    route: Literal["hash", "master", "random", "broadcast"] = "random"
    """How callers usually reach it; with `master`, its instances elect a master."""
    slots: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Of files that are older than docs/keys.md: without effect, and in no reference."""
    callers: list[str] | None = None
    """Services whose processes may call this one; `"client"` is whoever has no service's key. Default: as `access.default` says.
    A change is told to the routers by `reload`, nothing is restarted."""
    methods: dict[str, list[str]] = {}
    """Methods that not all callers may call, and who may: `{ purge = ["director"] }`."""
    depends_on: list[str] | dict[str, Literal["ready", "completed"]] = []
    """Services that must be ready before this one is started; or what each must be:
    `{ migrate = "completed", director = "ready" }`, see Jobs."""
    essential: bool = False
    """True: when an instance has failed for good, or is not ready within `up -t`, the cluster stops with exit code 1."""
    env: dict[str, str] = {}
    """Environment variables. `${VAR}` in them, in `command` and in `cwd` is filled in: see "Values from the environment"."""
    env_file: str | None = None
    """File with `KEY=value` lines by the rules of docker compose, relative to this file; `env` wins over it."""
    merge_streams: bool = False
    """True: stdout and stderr go through one pipe, so that their lines are in the log in their true order, all as stdout."""
    cwd: str | None = None
    """Working folder, relative to this file; default: the folder of this file."""
    user: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)] | None = None
    """User to run as, by name or number, with all its groups (`"name:group"`: that one instead of its own), its HOME, USER and
    LOGNAME. POSIX; for another than its own the launcher must be root."""
    nice: Annotated[int, Field(ge=-20, le=19)] | None = None
    """Scheduling priority: 19 is the most modest."""
    umask: Annotated[str, Field(pattern=r"^0?[0-7]{1,3}$")] | None = None
    """Permissions that files it makes do not get, as octal digits such as `"027"`; default: the launcher's."""
    rlimits: dict[str, Limit | Annotated[list[Limit], Field(min_length=2, max_length=2)]] = {}
    """Resource limits by name, such as `{ nofile = 4096, core = "unlimited" }` or `{ nofile = [1024, 4096] }` (soft, hard)."""
    max_rss: Size | None = None
    """An instance whose resident memory, with that of all that it started, exceeds this (bytes, or "512MB") is restarted."""
    log_level: Level | None = None
    """What a Python service logs; default: the cluster's."""
    start_timeout: PositiveSeconds = 30.0
    """Seconds within which it must be ready; otherwise it is stopped and counts as crashed."""
    liveness_timeout: Seconds = 10.0
    """A luabus service that is at no router for so many seconds, not even connected, has hung and is restarted; 0: never."""
    restart: Restart = Restart()
    """What happens when an instance ends, and how it is stopped."""
    ready: Probe | None = None
    """When it counts as ready; default: registered on the bus, or, without a group, as soon as it runs."""
    startup: Probe | None = None
    """Holds back `ready` and `liveness` until it has succeeded once; its failure restarts the instance."""
    liveness: Probe | None = None
    """Its failure restarts the instance. `log` is of no use here."""

    @property
    def needs(self) -> dict[str, str]:
        """What each of the services it depends on must be: `ready` or `completed`."""
        named = self.depends_on
        return dict(named) if isinstance(named, dict) else dict.fromkeys(named, "ready")


class ClusterConfig(Section):
    """cluster.toml."""

    cluster: Cluster = Cluster()
    """The cluster as a whole."""
    routers: Routers = Routers()
    """The routers: every service connects to all of them."""
    lease: Lease = Lease()
    """Where masters are decided."""
    bus: Bus = Bus()
    """What goes over the bus."""
    dashboard: Dashboard = Dashboard()
    """The dashboard and the HTTP admin API."""
    access: Access = Access()
    """Who may call whom."""
    logs: Logs = Logs()
    """The captured output of every process."""
    services: dict[str, Service] = {}
    """One table per service: `[services.mail]`."""

    @property
    def awaited(self) -> frozenset[str]:
        """Services for whose completion others wait."""
        return frozenset(
            name
            for service in self.services.values()
            for name, need in service.needs.items()
            if need == "completed"
        )
