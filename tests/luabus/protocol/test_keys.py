"""What the two ends of a connection prove themselves with."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import get_args

import pytest

from luabus.errors import ConfigError, ProtocolError
from luabus.protocol.keys import Credential, derive, format_key, parse_key, principal_of
from luabus.protocol.principal import ADMIN, CLIENT, Principal, Role

SECRET = b"a secret of 16 bytes or more"
EVERYBODY = [
    ADMIN,
    CLIENT,
    Principal("service", "mail"),
    Principal("router", "router.1"),
    Principal("launcher", "demo"),
]


def test_there_is_one_of_each_role() -> None:
    assert {principal.role for principal in EVERYBODY} == set(get_args(Role))


def test_each_has_a_key_of_its_own_and_none_is_the_secret() -> None:
    keys = {derive(SECRET, principal) for principal in EVERYBODY}
    assert len(keys | {SECRET}) == len(EVERYBODY) + 1
    assert derive(SECRET, Principal("service", "mail")) == hmac.new(SECRET, b"service:mail", sha256).digest()


@pytest.mark.parametrize("principal", [*EVERYBODY, Principal("service", "a name: with spaces")], ids=str)
def test_a_line_of_a_key_file_is_read_as_it_was_written(principal: Principal) -> None:
    key = derive(SECRET, principal)
    line = format_key(principal, key)
    assert line == f"{principal} {key.hex()}"
    for written in (line, f"  {line}\r\n", line.replace(f" {key.hex()}", f"\t{key.hex().upper()}")):
        assert parse_key(written) == Credential(principal, key)


@pytest.mark.parametrize(
    "line",
    ["", "client", "00" * 32, "king 00", f"king {'00' * 32}", f"client {'00' * 31}", f"client {'0g' * 32}",
     f"service {'00' * 32}", f"service: {'00' * 32}", f"client:me {'00' * 32}", f"client: {'00' * 32}",
     f"client {'00' * 33}", f"service:\x1b {'00' * 32}"],
)  # fmt: skip
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="is not one line such as `service:mail` and 64 hexadecimal digits"):
        parse_key(line)


def test_who_somebody_says_he_is_is_checked_and_cut_in_messages() -> None:
    for principal in EVERYBODY:
        assert principal_of(principal.role, principal.name) == principal
    with pytest.raises(ProtocolError) as caught:
        principal_of("x" * 10_000, "")
    assert len(str(caught.value)) < 400
    with pytest.raises(ProtocolError) as caught:
        principal_of("service", "x" * 10_000)
    assert len(str(caught.value)) < 400
