"""What the two ends of a stream prove to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from luabus.environment import Environment
from luabus.errors import AuthError, ConfigError
from luabus.protocol.keys import derive, format_key
from luabus.protocol.principal import ADMIN, CLIENT, Principal
from luabus.transport.security import NO_SECURITY, Security

SECRET = b"sixteen bytes of secret"
OTHER = b"another secret than that"
MAIL = Principal("service", "mail")
KEY = format_key(MAIL, derive(SECRET, MAIL))
PLACE = ("127.0.0.1", 7070)


def met(here: Security, there: Security) -> tuple[Principal, Principal]:
    """Who each end knows the other to be, after a hand-shake between a connector and an acceptor."""
    one, other = here.connector("localhost:7070"), there.acceptor()
    other.start(PLACE, PLACE)
    data, ends = one.start(PLACE, PLACE), (other, one)
    while data:
        data, _ = ends[0].receive(data)
        ends = ends[1], ends[0]
    return other.peer, one.peer


def test_a_secret_is_bytes_or_text_and_is_not_shown() -> None:
    given = [Security.of(secret).keys for secret in (SECRET.decode(), SECRET)]
    assert given[0] is not None
    assert given[1] is not None
    assert given[0].credential(ADMIN) == given[1].credential(ADMIN)
    assert Security.of(None) == NO_SECURITY
    for security in (Security.of(SECRET), Security.of_key(KEY)):
        assert "sixteen" not in repr((security, security.keys))
        assert KEY.split()[1] not in repr((security, security.keys))


@pytest.mark.parametrize("secret", ["", b"", "x", b"fifteen bytes..", "\xe4" * 7])
def test_a_short_secret_is_a_mistake(secret: bytes | str) -> None:
    with pytest.raises(
        ConfigError, match=r"the secret (is empty|has 1 byte|has 1[45] bytes); give at least 16 bytes"
    ):
        Security.of(secret)


def test_sixteen_bytes_are_enough() -> None:
    assert met(Security.of("\xe4" * 8), Security.of(("\xe4" * 8).encode()))[0] == ADMIN


def test_what_is_given_in_code_wins_over_a_file_and_that_over_the_environments(tmp_path: Path) -> None:
    files = {}
    for name, text in {
        "ours": SECRET,
        "theirs": OTHER,
        "key": KEY.encode(),
        "client": b"client " + b"77" * 32,
    }.items():
        files[name] = tmp_path / name
        files[name].write_bytes(text + b"\n")
    environment = Environment(secret_file=str(files["theirs"]))
    with_key = Environment(secret_file=str(files["theirs"]), key_file=str(files["key"]))
    ours, theirs = Security.of(SECRET), Security.of(OTHER)
    assert met(Security.given(environment, OTHER, files["ours"], files["key"]), theirs)[0] == ADMIN
    assert met(Security.given(environment, None, files["ours"], files["key"]), ours)[0] == ADMIN
    assert met(Security.given(environment, None, None, files["key"]), ours)[0] == MAIL
    assert met(Security.given(environment), theirs)[0] == ADMIN
    assert met(Security.given(with_key), ours)[0] == MAIL
    assert Security.given(Environment()) == NO_SECURITY
    for given in ({"secret_file": tmp_path / "absent"}, {"key_file": tmp_path / "absent"}):
        with pytest.raises(ConfigError, match="cannot be read"):
            Security.given(environment, **given)


def test_plain_streams_are_clients_and_with_a_key_whose_that_is() -> None:
    assert Security.of_stream(None) is None
    secret, key = Security.of_stream(SECRET), Security.of_stream(OTHER, KEY)
    assert secret is not None
    assert key is not None
    assert met(secret, secret) == (CLIENT, CLIENT)
    assert met(key, Security.of(SECRET, Principal("router", "router.1"))) == (
        MAIL,
        Principal("router", "router.1"),
    )


def test_who_holds_one_key_alone_lets_in_who_has_the_same() -> None:
    mail = Security.of_key(KEY)
    assert met(mail, mail) == (MAIL, CLIENT)
    for other in (Security.of(SECRET), Security.of_key(format_key(CLIENT, bytes(32)))):
        with pytest.raises(AuthError):
            met(other, mail)


def test_only_whoever_is_wanted_will_do() -> None:
    launcher = Security.of(SECRET, Principal("launcher", "demo"))
    assert met(Security.of(SECRET).to("launcher"), launcher)[1] == Principal("launcher", "demo")
    for wanted in (Security.of(SECRET).to("router"), Security.of(SECRET).to("launcher", "other")):
        with pytest.raises(AuthError, match="is wanted at localhost:7070, and there is launcher:demo"):
            met(wanted, launcher)
