"""What a service is given, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from luabus.environment import Environment
from luabus.errors import ConfigError
from luabus.service.service import Service
from luabus.service.settings import Settings
from tests.support.bus import SECRET, Star
from tests.support.waiting import until


def service(star: Star, name: str = "mail", **options: Any) -> Service:
    return Service(
        name, **{"group": 2, "instance": 1, "routers": star.addresses, "secret": SECRET, **options}
    )


async def test_what_is_missing_is_a_configuration_error() -> None:
    with pytest.raises(
        ConfigError, match=r"the service 'mail' has no group: give group=\.\.\., or start it with"
    ):
        await Service("mail").start()
    with pytest.raises(ConfigError, match="no router is given"):
        await Service("mail", group=2).start()
    with pytest.raises(ConfigError, match="cannot be read"):
        await Service("mail", group=2, routers=["x"], secret_file="/nonexistent/secret").start()


@pytest.mark.parametrize("options", [{"group": 0}, {"group": 256}, {"instance": 70_000}])
async def test_an_id_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    async with Star() as star:
        with pytest.raises(ConfigError):
            await service(star, **options).start()


async def test_a_master_without_a_lease_store_is_a_configuration_error() -> None:
    async with Star() as star:
        with pytest.raises(ConfigError, match="no lease store is given"):
            await service(star, mode="master").start()
        await until(lambda: not star.routers[0].connections())


@pytest.mark.parametrize("secret", ["", b"x", "fifteen bytes.."])
def test_a_short_secret_is_refused_at_once(secret: bytes | str) -> None:
    with pytest.raises(ConfigError, match="give at least 16 bytes"):
        Service("mail", secret=secret)


LAUNCHED = {"LUABUS_SERVICE": "eu", "LUABUS_GROUP": "7", "LUABUS_INSTANCE": "2", "LUABUS_ROUTE": "random"}


@pytest.mark.parametrize("name", ["", "eu", "shard"])
def test_a_launched_service_is_who_cluster_toml_says(name: str) -> None:
    identity = Settings(name=name).identity(Environment.read(LAUNCHED))
    assert (identity.name, str(identity.service_id)) == ("eu", "7.2")


def test_one_with_routers_of_its_own_is_another() -> None:
    given = Settings(name="shard", group=3, instance=1, routers=["127.0.0.1:1"])
    identity = given.identity(Environment.read(LAUNCHED))
    assert (identity.name, str(identity.service_id)) == ("shard", "3.1")


@pytest.mark.parametrize("options", [{"group": 8}, {"instance": 1}])
def test_two_numbers_for_one_service_are_told_with_both_names(options: dict[str, int]) -> None:
    key, value = next(iter(options.items()))
    with pytest.raises(
        ConfigError,
        match=rf"the service 'shard' has {key}={value} in its code, and {key} .* \(services\.eu\)",
    ):
        Settings(name="shard", **options).identity(Environment.read(LAUNCHED))
    assert Settings(name="shard", group=7, instance=2).identity(Environment.read(LAUNCHED)).name == "eu"
