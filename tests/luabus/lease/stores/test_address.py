from __future__ import annotations

from pathlib import Path

import pytest

from luabus.errors import ConfigError
from luabus.lease.stores.address import parse, redact


def test_parts() -> None:
    address = parse("postgresql://luabus:p%40ss%2Fword@db1:5432,db2:5433/leases?sslmode=require", {})
    assert address.scheme == "postgresql"
    assert address.hosts == "db1:5432,db2:5433"
    assert address.path == "leases"
    assert address.parameters == {"sslmode": "require"}
    assert (address.user, address.password) == ("luabus", "p@ss/word")


def test_url_with_and_without_credentials() -> None:
    address = parse("redis://:p%40ss@host:6379/3", {})
    assert address.url(with_credentials=True) == "redis://:p%40ss@host:6379/3"
    assert address.url(with_credentials=False) == "redis://host:6379/3"


def test_neither_text_shows_the_password() -> None:
    address = parse("postgresql://luabus:hunter2@db/leases?sslpassword=hunter2", {})
    assert "hunter2" not in str(address)
    assert "hunter2" not in repr(address)
    assert str(address) == "postgresql://db/leases?sslpassword=***"


class TestCredentials:
    def test_from_the_environment(self) -> None:
        environ = {"LUABUS_LEASE_USER": "luabus", "LUABUS_LEASE_PASSWORD": "hunter2"}
        address = parse("etcd://host", environ)
        assert (address.user, address.password) == ("luabus", "hunter2")

    def test_from_a_file_named_in_the_environment(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("hunter2\n")
        address = parse("redis://luabus@host", {"LUABUS_LEASE_PASSWORD_FILE": str(tmp_path / "password")})
        assert (address.user, address.password) == ("luabus", "hunter2")

    def test_from_a_file_named_in_the_url(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text(" with space at both ends \r\n")
        address = parse(f"redis://host/0?password_file={tmp_path}/password&protocol=2", {})
        assert address.password == " with space at both ends "
        assert address.parameters == {"protocol": "2"}, "clients do not know password_file"

    def test_the_url_goes_first_and_the_environment_before_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("of the file")
        environ = {
            "LUABUS_LEASE_PASSWORD": "of the environment",
            "LUABUS_LEASE_PASSWORD_FILE": str(tmp_path / "password"),
        }
        assert parse("redis://me:mine@host", environ).password == "mine"
        assert parse("redis://me@host", environ).password == "of the environment"
        assert parse("redis://me:@host", environ).password == "", "an empty one is given, too"

    def test_none(self) -> None:
        address = parse("redis://host", {})
        assert (address.user, address.password) == (None, None)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="absent': No such file") as caught:
            parse(f"redis://host?password_file={tmp_path}/absent", {})
        assert caught.value.key == "lease.store"
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            parse(f"redis://host?password_file={tmp_path}/binary", {})


@pytest.mark.parametrize("url", ["redis://[::1", "redis://me:hunter2@host?password"])
def test_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="is no URL") as caught:
        parse(url, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://me:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("redis://me@host", "redis://***@host"),
        ("postgresql://me:a@hunter2@host/db", "postgresql://***@host/db"),
        ("postgresql://me:hunter/2@host/db?x=1", "postgresql://***@host/db?x=1"),
        ("postgresql://me:hunter#2@host/db", "postgresql://***@host/db"),
        ("redis://host/0?password=hunter2&x=1", "redis://host/0?password=***&x=1"),
        ("postgresql:///db?PASSWORD=hunter2", "postgresql:///db?PASSWORD=***"),
        ("sqlite:////var/lib/luabus/lease.db", "sqlite:////var/lib/luabus/lease.db"),
        ("no url at all", "no url at all"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown
