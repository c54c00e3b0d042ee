"""`luabus.connect`: where its settings come from, and what it says when it cannot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import luabus
from luabus.errors import AuthError, ConfigError, NotConnected
from tests.support.bus import GROUPS, SECRET, Star
from tests.support.waiting import until


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
    with pytest.raises(NotConnected, match=rf"\(127.0.0.1:{free_port}: Connection refused\)") as caught:
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


def key_file(folder: Path, principal: luabus.Principal) -> Path:
    path = folder / f"{principal}.key"
    path.write_text(luabus.Security.of(SECRET).key_line(principal) + "\n")
    return path


async def test_with_a_key_file_it_is_whose_key_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Star() as star:
        (router,) = star.routers
        for principal in (luabus.Principal("client"), luabus.Principal("service", "mail")):
            path = key_file(tmp_path, principal)
            async with luabus.connect(star.addresses, key_file=path):
                assert [stream.principal for stream in router.mgr.streams.values()] == [principal]
            await until(lambda: not router.mgr.streams)
            monkeypatch.setenv("LUABUS_KEY_FILE", str(path))
            monkeypatch.setenv("LUABUS_SECRET_FILE", "/not/read")
            async with luabus.connect(star.addresses):
                assert [stream.principal for stream in router.mgr.streams.values()] == [principal]
            await until(lambda: not router.mgr.streams)


async def test_a_key_file_is_read_at_each_connection(tmp_path: Path) -> None:
    async with Star() as star:
        (tmp_path / "service:mail.key").write_text(f"service:mail {'00' * 32}\n")
        with pytest.raises(
            AuthError, match="the peer's secret is not ours: this is no proof for service:mail"
        ):
            await luabus.connect(star.addresses, key_file=tmp_path / "service:mail.key")
        bus = luabus.Bus()
        await bus.start(star.addresses, security=luabus.Security.of_key_file(tmp_path / "service:mail.key"))
        key_file(tmp_path, luabus.Principal("service", "mail"))
        await bus.ready()
        await bus.close()


@pytest.mark.parametrize("secret", ["", b"x", "fifteen bytes.."])
def test_a_short_secret_is_refused_before_anything_is_done(secret: bytes | str) -> None:
    with pytest.raises(ConfigError, match="give at least 16 bytes"):
        luabus.connect(["127.0.0.1:7070"], secret=secret)


async def test_a_launcher_is_no_router_and_learns_nothing() -> None:
    mgr = luabus.SocketMgr(9, security=luabus.Security.of(SECRET, luabus.Principal("launcher", "demo")))
    listener = mgr.listen("127.0.0.1", 0)
    with pytest.raises(
        AuthError, match=f"router is wanted at 127.0.0.1:{listener.port}, and there is launcher:demo"
    ):
        await luabus.connect([f"127.0.0.1:{listener.port}"], secret=SECRET)
    await mgr.close()
