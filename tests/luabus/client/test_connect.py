"""`luabus.connect`: where its settings come from, and what it says when it cannot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import luabus
from luabus.errors import AuthError, ConfigError, NotConnected
from tests.support.bus import GROUPS, SECRET, Star


async def test_entered_or_awaited() -> None:
    async with Star() as star:
        await star.mail(1)
        async with luabus.connect(star.addresses, secret=SECRET, groups=GROUPS) as bus:
            assert await bus.target("mail.1").request("who") == "mail.1"
        assert bus.preferred is None
        bus = await luabus.connect(star.addresses, secret=SECRET.decode())
        assert await bus.target("mail.1").request("who") == "mail.1"
        await bus.close()


async def test_the_secret_from_a_file(tmp_path: Path) -> None:
    async with Star() as star:
        (tmp_path / "secret").write_bytes(SECRET + b"\n")
        async with luabus.connect(star.addresses, secret_file=tmp_path / "secret") as bus:
            assert bus.groups["mail"] == 2


async def test_everything_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Star(2) as star:
        await star.mail(1)
        (tmp_path / "secret").write_bytes(SECRET)
        monkeypatch.setenv("LUABUS_ROUTERS", ",".join(star.addresses))
        monkeypatch.setenv("LUABUS_SECRET_FILE", str(tmp_path / "secret"))
        monkeypatch.setenv("LUABUS_GROUPS", '{"post": 2}')
        async with luabus.connect() as bus:
            assert await bus.target("post.1").request("who") == "mail.1"


async def test_another_secret_is_an_auth_error_at_once() -> None:
    async with Star(2) as star:
        started = time.monotonic()
        with pytest.raises(AuthError, match="the peer's secret is not ours"):
            await luabus.connect(star.addresses, secret=b"quite another secret", timeout=30.0)
        with pytest.raises(AuthError, match="the peer has no secret, and one is required here"):
            await luabus.connect(star.addresses, timeout=30.0)
        assert time.monotonic() - started < 5.0


async def test_nobody_there_is_not_connected_with_each_routers_reason(free_port: int) -> None:
    with pytest.raises(
        NotConnected, match=f"127.0.0.1:{free_port}: 127.0.0.1:{free_port}: Connection refused"
    ) as caught:
        await luabus.connect([f"127.0.0.1:{free_port}"], secret=SECRET, timeout=0.2)
    assert caught.value.routers == [f"127.0.0.1:{free_port}"]


async def test_without_waiting_it_is_there_at_once(free_port: int) -> None:
    async with luabus.connect([f"127.0.0.1:{free_port}"], secret=SECRET, timeout=0) as bus:
        assert bus.preferred is None


async def test_no_routers_anywhere_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no router is given"):
        await luabus.connect()


@pytest.mark.parametrize("address", ["nonsense:", "host:x"])
async def test_a_router_that_is_no_address_is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigError, match="is not an address; write HOST:PORT"):
        await luabus.connect([address])
