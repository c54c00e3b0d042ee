"""Options that cannot be are refused where they are given, with name, value and range."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

import luabus
from luabus import option_checks
from luabus.environment import Environment
from luabus.errors import ConfigError, LuabusError, Refused, RequestTimeout
from luabus.lease.lease_options import LeaseOptions
from luabus.limits import OPTION_RANGES
from luabus.router.server import Router
from luabus.service.service import Service
from luabus.transport.manager import create_socket_mgr
from tests.support.bus import Star
from tests.support.hostile import Hostile
from tests.support.programs import Program
from tests.support.streams import Pair


def service(**options: Any) -> Service:
    return Service("mail", group=2, instance=1, routers=["127.0.0.1:1"], **options)


NOT_WHOLE = (-1, 0, 1 << 60, True, "8", 1.5, nan, inf)
NO_SECONDS = (-1, nan, inf, "8", True)


@pytest.mark.parametrize(
    ("make", "key", "values"),
    [
        (service, "frame_limit", NOT_WHOLE),
        (service, "max_concurrency", NOT_WHOLE),
        (service, "compress_above", (-1, "8", 1 << 63)),
        (service, "lease_ttl", (*NO_SECONDS, 0)),
        (service, "lease_renew", (*NO_SECONDS, 0)),
        (service, "drain_timeout", NO_SECONDS),
        (service, "mode", ("banana", "HASH", 5)),
        (Service, "name", ("a\nb", 5, " mail", "x" * 300)),
        (Router, "frame_limit", (*NOT_WHOLE, 10, 100)),
        (Router, "buffer", NOT_WHOLE),
        (Router, "waiting_limit", (*NOT_WHOLE, 5, "64MiB")),
        (Service, "group", (0, 256, "2", True)),
        (Service, "instance", (0, 65_536, "1", 1.0)),
        (Router, "port", (-1, 65_536, "7070", True)),
        (Router, "name", ("", "a\tb", None, "x" * 300)),
        (Router, "host", ("", "a b\n")),
        (Router, "max_connections", NOT_WHOLE),
        (Router, "heartbeat_s", (*NO_SECONDS, 0)),
        (luabus.connect, "frame_limit", NOT_WHOLE),
        (luabus.connect, "timeout", (nan, "5", True)),
        (lambda max_connections: create_socket_mgr(max_connections), "max_connections", NOT_WHOLE),
        (lambda lease_ttl: LeaseOptions("sqlite", lease_ttl), "lease_ttl", (nan, inf, -1)),
        (lambda port: create_socket_mgr(1).listen("127.0.0.1", port), "port", (-1, 65_536, "1", True)),
        (lambda port: create_socket_mgr(1).connect("127.0.0.1", port), "port", (-1, 65_536, "1")),
        (lambda timeout_ms: create_socket_mgr(1).connect("127.0.0.1", 1, timeout_ms), "timeout_ms", (-1, nan, "1")),
        (lambda limit: luabus.Conversation("127.0.0.1", 1, limit=limit), "limit", (-1, 1 << 40, "1")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(
    make: Callable[..., Any], key: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(ConfigError) as raised:
            make(**{key: value})
        assert raised.value.key == key
        assert str(raised.value).startswith(f"{key} is {value!r}; ")


@pytest.mark.parametrize(
    ("make", "key", "values"),
    [
        (luabus.connect, "routers", (5, b"127.0.0.1:7070", {"127.0.0.1:7070": 1}, 1.5)),
        (luabus.connect, "groups", (5, ["mail"], "mail")),
        (luabus.connect, "secret", (5, ["x" * 16])),
        (luabus.connect, "secret_file", (5, b"secret", ["secret"])),
        (luabus.connect, "key_file", (5, b"key")),
        (Service, "routers", (5, b"127.0.0.1:7070")),
        (Service, "groups", (5, ["mail"])),
        (Service, "secret", (5,)),
        (Service, "secret_file", (5,)),
        (Service, "key_file", (5,)),
        (Service, "lease", (5, b"sqlite")),
        (Service, "check_types", (5, "yes")),
        (Router, "secret", (5,)),
        (Router, "secret_file", (5,)),
        (Router, "advertise", (5, b"bus:1")),
        (lambda secret: create_socket_mgr(1, secret=secret), "secret", (5,)),
        (lambda ip: create_socket_mgr(1).listen(ip, 0), "ip", (5, b"127.0.0.1")),
        (lambda ip: create_socket_mgr(1).connect(ip, 1), "ip", (5, ("127.0.0.1", 1))),
        (lambda host: luabus.Conversation(host, 1), "host", (5, b"127.0.0.1")),
    ],
)  # fmt: skip
def test_what_is_of_another_type_is_refused_with_its_type(
    make: Callable[..., Any], key: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(ConfigError) as raised:
            make(**{key: value})
        assert raised.value.key == key
        assert type(value).__name__ in str(raised.value)


def test_what_stands_in_a_list_or_map_is_looked_at_as_well() -> None:
    with pytest.raises(ConfigError, match=r"^routers\[1\] is 5 \(int\); a text is needed"):
        luabus.connect(["127.0.0.1:7070", 5])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"^groups\['mail'\] is '2' \(str\); a number of 1 to 255"):
        luabus.connect(["127.0.0.1:7070"], groups={"mail": "2"})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="timeout is None; seconds are needed"):
        luabus.Conversation("127.0.0.1", 1, timeout=None)  # type: ignore[arg-type]


async def test_sizes_are_written_alike_in_file_command_line_and_environment() -> None:
    router = await Program.start(
        "router",
        "--listen",
        "127.0.0.1:0",
        "--waiting-limit",
        "64MiB",
        "--buffer",
        "2MB",
        "--frame-limit",
        "1.5M",
    )
    await router.says("listens at")
    assert await router.end() == 0
    assert Environment.read({"LUABUS_FRAME_LIMIT": "2MiB"}).frame_limit == 2 << 20
    with pytest.raises(ConfigError, match="LUABUS_COMPRESS_ABOVE='much' is not a size"):
        Environment.read({"LUABUS_COMPRESS_ABOVE": "much"})


def test_both_ends_of_a_range_are_possible() -> None:
    for key, allowed in OPTION_RANGES.items():
        for value in (allowed.least, allowed.most):
            option_checks.check(**{key: int(value) if allowed.whole else value})
        option_checks.check(**{key: None})
    service(frame_limit=int(OPTION_RANGES["frame_limit"].most))
    Router(frame_limit=int(OPTION_RANGES["frame_limit"].most), buffer=int(OPTION_RANGES["buffer"].least))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--frame-limit", "2GB"],
            "frame_limit is 2147483648; at least 512 is needed, at most 1073741824 bytes",
        ),
        (["--frame-limit", "0"], "frame_limit is 0; "),
        (["--buffer", "-1"], "'-1' is not a size; write bytes, or \"512MB\""),
        (["--waiting-limit", "5"], "waiting_limit is 5; at least 1048576 is needed"),
        (["--waiting-limit", "lots"], "argument --waiting-limit: 'lots' is not a size"),
        (["--advertise", "bus.example:0"], "advertise: 'bus.example:0' is not an address"),
        (["--name", ""], "name is ''; a name of 1 to 200 printable characters is needed"),
    ],
)
async def test_the_command_line_of_a_router_says_so_and_exits_2(arguments: list[str], words: str) -> None:
    program = await Program.start("router", "--listen", "127.0.0.1:0", *arguments)
    assert await program.code() == 2
    assert words in program.text


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (nan, ConfigError),
        ("1", ConfigError),
        (inf, None),
        (1e300, None),
        (None, None),
        (0, RequestTimeout),
        (-1, RequestTimeout),
        (-inf, RequestTimeout),
        (Hostile(), ConfigError),
    ],
)
async def test_a_time_out_of_a_request(timeout: Any, error: type[LuabusError] | None) -> None:
    async with Star() as star:
        (mail,) = await star.mail(1)
        bus = await star.client()
        route, all_of_them = bus.target("mail.1"), bus.broadcast("mail")
        for ask in (route.request, route.answered, all_of_them.gather, all_of_them.publish):
            if error is None:
                await asyncio.wait_for(ask("note", 1, timeout=timeout), 5)
                continue
            with pytest.raises(error):
                await ask("note", 1, timeout=timeout)
        await route.request("who")
        assert len(mail.notes) == (0 if error else 4)


async def test_settings_of_a_stream_that_cannot_be_are_refused() -> None:
    async with Pair() as pair:
        stream: Any = pair.client
        for setting in (stream.set_send_buffer_size, stream.set_recv_buffer_size):
            for size in (-1, 0, "8", 1.5, True, 1 << 40):
                with pytest.raises(Refused, match="a buffer of"):
                    setting(size)
        for ms in (-1, nan, inf, "8", True):
            with pytest.raises(Refused, match="a time-out of"):
                stream.set_timeout(ms)
        assert stream.is_open
        assert stream.send_limit == stream.frame_limit == 64 << 10


def test_a_value_that_answers_nothing_is_refused_all_the_same() -> None:
    for check in (
        option_checks.time_limit, option_checks.check_mode, lambda value: option_checks.check_name("name", value),
        lambda value: option_checks.check(drain_timeout=value),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="whose text cannot be had"):
            check(Hostile())
