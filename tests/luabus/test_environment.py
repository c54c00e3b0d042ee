from __future__ import annotations

import pytest

from luabus.environment import Environment
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
