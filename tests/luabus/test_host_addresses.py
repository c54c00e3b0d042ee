from __future__ import annotations

from typing import Any

import pytest

from luabus.errors import ConfigError
from luabus.host_addresses import canonical, format_address, is_loopback, parse_address, parse_peer
from tests.support.hostile import Hostile, HostileText


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("h", False),
        ("::", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7071", ("127.0.0.1", 7071)),
        ("127.0.0.1", ("127.0.0.1", 7070)),
        ("db.example:0", ("db.example", 0)),
        ("[::1]:7071", ("::1", 7071)),
        ("[::1]", ("::1", 7070)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7070",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:\u0661",
        "::1",
        "::1:7070",
        "[h]:1",
        "[]:1",
        5,
        None,
        b"127.0.0.1:7070",
        ("127.0.0.1", 7070),
        Hostile(),
    ],
)
def test_what_is_no_address_is_said_with_the_way_to_write_one(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"is not an address; write HOST:PORT, such as 127\.0\.0\.1:7070"):
        parse_address(text)


def test_nobody_can_be_reached_at_port_0() -> None:
    assert parse_peer("127.0.0.1") == ("127.0.0.1", 7070)
    with pytest.raises(ConfigError, match="0' is not an address"):
        parse_peer("127.0.0.1:0")
    assert parse_address(HostileText("h:1")) == ("h", 1)


def test_addresses_are_written_as_they_are_read() -> None:
    assert [format_address("::1", 7070), format_address("db", 1)] == ["[::1]:7070", "db:1"]
    for text in ("127.0.0.1:7070", "[::1]:7070", "[fe80::1%eth0]:7070", "db.example:1"):
        assert format_address(*parse_address(text)) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[0:0:0:0:0:0:0:1]:7070", "[::1]"),
        ("[::ffff:127.0.0.1]:7070", "127.0.0.1:7070"),
        ("LocalHost.:7070", "localhost"),
        ("[FE80::1%eth0]:1", "[fe80:0::1%eth0]:1"),
    ],
)
def test_equal_addresses_are_equal_however_they_are_written(one: str, other: str) -> None:
    assert canonical(*parse_address(one)) == canonical(*parse_address(other))
    assert canonical(*parse_address(one)) != canonical(*parse_address("127.0.0.1:7071"))
