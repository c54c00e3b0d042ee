"""Rules of cluster.toml that need more than one key: groups, ports, names, dependencies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from launcher.config.access_checks import CLIENT, access_faults
from launcher.config.schema import NAME_PATTERN, ClusterConfig, Probe, Service
from launcher.errors import suggest
from luabus.errors import ConfigError
from luabus.host_addresses import is_loopback, parse_address

RESERVED = ("router", "dashboard", "launcher", CLIENT)
"""Names of the launcher's own processes and of its log, and of callers that are no service."""

Path = tuple[str | int, ...]
Fault = tuple[Path, str]


def faults(config: ClusterConfig) -> Iterator[Fault]:
    """Every fault as `(key path, text)`."""
    yield from _names(config)
    for name, service in config.services.items():
        yield from _service(("services", name), service)
    yield from _groups(config)
    yield from _ports(config)
    yield from _listening(config)
    yield from _lease(config)
    yield from _dependencies(config)
    yield from access_faults(config)


def _names(config: ClusterConfig) -> Iterator[Fault]:
    for name in config.services:
        if name in RESERVED:
            yield ("services", name), f'"{name}" is a name of the launcher\'s own; allowed: any other'
        elif not re.match(NAME_PATTERN, name):
            yield (
                ("services", name),
                f'found the name "{name}"; allowed: a letter, then letters, digits, _ and -',
            )
    first: dict[str, str] = {}
    for name in config.services:
        if (other := first.setdefault(name.lower(), name)) != name:
            yield ("services", name), f"differs from services.{other} only by case; allowed: another name"


def _service(path: Path, service: Service) -> Iterator[Fault]:
    if (service.run is None) == (service.command is None):
        found = "both" if service.run is not None else "neither"
        yield (
            path,
            f'found {found} of run and command; allowed: exactly one: run = "module:attribute" or command = [...]',
        )
    if service.run is not None and service.group is None:
        yield path, "group is missing; allowed: a number from 1 to 255 that no other service has"
    if service.route == "hash" and service.group is None and service.command is not None:
        yield (
            (*path, "route"),
            'found "hash" without a group; a program that joins the bus needs group = NUMBER',
        )
    for key in ("ready", "startup", "liveness"):
        probe: Probe | None = getattr(service, key)
        if probe is not None:
            yield from _probe((*path, key), probe)
    if service.liveness is not None and service.liveness.log is not None:
        yield (
            (*path, "liveness", "log"),
            "a line in the log cannot show that a process still lives; allowed: tcp, http, exec",
        )
    if service.restart.backoff > service.restart.backoff_max:
        yield (
            (*path, "restart", "backoff"),
            f"found {service.restart.backoff:g}; allowed: at most backoff_max = {service.restart.backoff_max:g}",
        )


def _probe(path: Path, probe: Probe) -> Iterator[Fault]:
    given = [key for key in ("tcp", "http", "exec", "log") if getattr(probe, key) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield path, f"found {found} of tcp, http, exec, log; allowed: exactly one"
    if probe.log is not None:
        try:
            re.compile(probe.log)
        except re.error as error:
            yield (*path, "log"), f"found {probe.log!r}, which is no regular expression: {error}"
    if probe.http is not None and not probe.http.startswith("http://"):
        yield (*path, "http"), f'found "{probe.http}"; allowed: a URL that begins with http://'
    if isinstance(probe.tcp, str) and not _names_a_port(probe.tcp):
        text = f'found "{probe.tcp}"; allowed: a port, or "HOST:PORT", an IPv6 address in brackets'
        yield (*path, "tcp"), text


def _names_a_port(target: str) -> bool:
    try:
        _, port = parse_address(target)
    except ConfigError:
        return False
    return port > 0 and target.endswith(f":{port}")


def _groups(config: ClusterConfig) -> Iterator[Fault]:
    owners: dict[int, str] = {}
    for name, service in config.services.items():
        if service.group is None:
            continue
        other = owners.setdefault(service.group, name)
        if other != name:
            free = next(
                number
                for number in range(1, 257)
                if number not in {s.group for s in config.services.values()}
            )
            hint = f"; {free} is free" if free < 256 else ""
            yield (
                ("services", name, "group"),
                f"found {service.group}, which services.{other} has already; allowed: a number of its own{hint}",
            )


def _ports(config: ClusterConfig) -> Iterator[Fault]:
    routers, dashboard = config.routers, config.dashboard
    last = routers.port + routers.count - 1
    if last > 65535:
        yield (
            ("routers", "port"),
            f"{routers.count} routers from {routers.port} need ports up to {last}; the last is 65535",
        )
    if (
        dashboard.enabled
        and routers.port <= dashboard.port <= last
        and _overlap(routers.host, dashboard.host)
    ):
        number = dashboard.port - routers.port + 1
        yield (
            ("dashboard", "port"),
            f"found {dashboard.port}, where router.{number} listens; allowed: any port outside {routers.port}..{last}",
        )


def _overlap(one: str, other: str) -> bool:
    everywhere = {"", "0.0.0.0", "::"}
    return one == other or one in everywhere or other in everywhere


def _listening(config: ClusterConfig) -> Iterator[Fault]:
    dashboard = config.dashboard
    if (dashboard.tls_cert is None) != (dashboard.tls_key is None):
        given, missing = ("tls_cert", "tls_key") if dashboard.tls_key is None else ("tls_key", "tls_cert")
        yield ("dashboard", given), f"found without {missing}; allowed: both or neither"
    for key, section, tls in (
        ("routers", config.routers, False),
        ("dashboard", dashboard, dashboard.tls_cert is not None),
    ):
        if not (tls or section.allow_plaintext or is_loopback(section.host)):
            also = " or with tls_cert and tls_key" if key == "dashboard" else ""
            yield (
                (key, "host"),
                f'found "{section.host}", which others can reach, unencrypted; allowed: 127.0.0.1, ::1, localhost,'
                f" or any address with allow_plaintext = true{also}",
            )


def _lease(config: ClusterConfig) -> Iterator[Fault]:
    lease = config.lease
    if lease.renew * 2 > lease.ttl:
        yield (
            ("lease", "renew"),
            f"found {lease.renew:g} with ttl = {lease.ttl:g}; allowed: at most half of ttl",
        )
    scheme = lease.store.split("://")[0]
    if scheme not in ("sqlite", "postgresql", "redis", "rediss", "etcd") or (
        scheme != "sqlite" and "://" not in lease.store
    ):
        yield (
            ("lease", "store"),
            (
                f'found "{lease.store}"; allowed: sqlite, sqlite:///PATH, postgresql://..., redis://..., etcd://HOST:PORT'
            ),
        )


def _dependencies(config: ClusterConfig) -> Iterator[Fault]:
    unknown = False
    for name, service in config.services.items():
        in_a_list = isinstance(service.depends_on, list)
        for index, (other, need) in enumerate(service.needs.items()):
            path: Path = ("services", name, "depends_on", index if in_a_list else other)
            if other not in config.services:
                unknown = True
                others = [known for known in config.services if known != name]
                yield path, f'there is no service "{other}"; {suggest(other, others)}'
            elif need == "completed" and (why := _why_endless(config.services[other])):
                yield path, f'found "completed" for "{other}", {why}; allowed: "ready"'
    if not unknown:
        graph = {name: tuple(service.needs) for name, service in config.services.items()}
        if cycle := find_cycle(graph):
            yield ("services", cycle[0], "depends_on"), f"these wait for one another: {' -> '.join(cycle)}"


def _why_endless(service: Service) -> str:
    """Why nobody can wait for its completion; empty where one can."""
    if service.run is not None or service.group is not None:
        return "which is a service on the bus and goes on for ever"
    if service.restart.policy == "always":
        return 'which is started again whenever it ends (restart.policy = "always")'
    return ""


def find_cycle(graph: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Names along a cycle, the first repeated at the end; None when there is none."""
    done: set[str] = set()
    for start in graph:
        trail: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(graph[start]))] if start not in done else []
        if stack:
            trail.append(start)
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                trail.pop()
                done.add(name)
            elif following in trail:
                return [*trail[trail.index(following) :], following]
            elif following not in done:
                trail.append(following)
                stack.append((following, iter(graph[following])))
    return None
