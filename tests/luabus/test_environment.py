from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luabus.environment import Environment, check_secret, read_secret
from luabus.errors import ConfigError

FULL = {
    "LUABUS_CLUSTER": "demo",
    "LUABUS_RUN_DIR": "/tmp/run",
    "LUABUS_ROUTERS": "127.0.0.1:7070, 127.0.0.1:7071,",
    "LUABUS_SECRET_FILE": "/tmp/run/secret",
    "LUABUS_KEY_FILE": "/tmp/run/keys/mail.key",
    "LUABUS_SERVICE": "mail",
    "LUABUS_GROUP": "2",
    "LUABUS_INSTANCE": "1",
    "LUABUS_ROUTE": "hash",
    "LUABUS_GROUPS": '{"mail": 2}',
    "LUABUS_LEASE": "sqlite:////tmp/lease.db",
    "LUABUS_LEASE_TTL": "5.5",
    "LUABUS_LEASE_RENEW": "0.5",
    "LUABUS_LOG_LEVEL": "DEBUG",
    "LUABUS_CONTROL": "/tmp/run/control.json",
    "LUABUS_FRAME_LIMIT": "2000000",
    "LUABUS_COMPRESS_ABOVE": "4096",
}


def test_every_variable_of_the_design_page_is_read() -> None:
    read = Environment.read(FULL)
    assert read == Environment(
        cluster="demo",
        run_dir="/tmp/run",
        routers=("127.0.0.1:7070", "127.0.0.1:7071"),
        secret_file="/tmp/run/secret",
        key_file="/tmp/run/keys/mail.key",
        service="mail",
        group=2,
        instance=1,
        route="hash",
        groups={"mail": 2},
        lease="sqlite:////tmp/lease.db",
        lease_ttl_s=5.5,
        lease_renew_s=0.5,
        log_level="DEBUG",
        control="/tmp/run/control.json",
        frame_limit=2_000_000,
        compress_above=4096,
    )


def test_nothing_set_gives_the_defaults_of_a_process_started_by_hand() -> None:
    read = Environment.read({})
    assert read == Environment()
    assert (read.routers, read.group, read.lease_ttl_s, read.log_level) == ((), None, 10.0, "INFO")
    assert Environment.read(dict.fromkeys(FULL, "")) == read


@pytest.mark.parametrize(
    "name", ["LUABUS_GROUP", "LUABUS_INSTANCE", "LUABUS_LEASE_TTL", "LUABUS_LEASE_RENEW"]
)
def test_what_is_no_number_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}='two' is not a number") as caught:
        Environment.read({name: "two"})
    assert caught.value.key == name


@pytest.mark.parametrize("text", ["mail=2", "[1]", '{"mail": "two"}', '{"mail": null}', "2"])
def test_groups_that_are_no_map_of_numbers_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"LUABUS_GROUPS=.* is not JSON such as"):
        Environment.read({"LUABUS_GROUPS": text})


def test_the_secret_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\nthe cluster's secret \n")
    assert read_secret(str(file)) == b"the cluster's secret"


def test_a_secret_that_is_not_there_or_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_secret(str(tmp_path / "none"))
    (tmp_path / "empty").write_bytes(b" \n")
    with pytest.raises(ConfigError, match="is empty"):
        read_secret(str(tmp_path / "empty"))
    (tmp_path / "short").write_bytes(b"fifteen bytes.. \n")
    with pytest.raises(ConfigError, match=r"short has 15 bytes; give at least 16 bytes") as caught:
        read_secret(str(tmp_path / "short"))
    assert "fifteen" not in str(caught.value)


@pytest.mark.parametrize("secret", [20, True, 1.5, ["a"] * 16, {"a": 1}, object()])
def test_a_secret_is_a_text_or_bytes(secret: Any) -> None:
    with pytest.raises(ConfigError):
        check_secret(secret)
