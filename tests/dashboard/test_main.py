from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest

from dashboard.__main__ import check, listen, main, parse
from dashboard.http.proxies import networks
from luabus.errors import ConfigError
from tests.support.imports import ROOT


def test_beyond_loopback_without_tls_is_refused_unless_said_in_words() -> None:
    with pytest.raises(ConfigError, match="--allow-plaintext"):
        check(parse(["--host", "0.0.0.0"]))
    check(parse(["--host", "0.0.0.0", "--allow-plaintext"]))
    check(parse(["--host", "0.0.0.0", "--tls-cert", "c.pem", "--tls-key", "k.pem"]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tls-cert", "c.pem"], ["--prefix", "luabus"], ["--prefix", "/luabus/"],
        ["--trusted-proxy", "proxy.example"], ["--trusted-proxy", "10.0.0.1/8"],
    ],
)  # fmt: skip
def test_what_cannot_work_is_said(arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        check(parse(arguments))


def test_the_trusted_proxies_are_addresses_and_networks() -> None:
    proxies = check(parse(["--trusted-proxy", "127.0.0.1", "--trusted-proxy", "2001:db8::/32"]))
    assert proxies == networks(["127.0.0.1/32", "2001:db8::/32"])
    assert check(parse([])) == ()


def test_a_port_in_use_names_the_process() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} is in use by .*\(pid {os.getpid()}\)"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.1"):
        listen("192.0.2.1", 0)


def test_without_an_environment_it_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run-dir", str(tmp_path), "--port", "0"]) == 2
    assert "LUABUS_ROUTERS" in capsys.readouterr().err


async def test_it_says_where_it_listens_serves_and_ends_at_sigterm(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LUABUS_RUN_DIR": str(tmp_path),
        "LUABUS_ROUTERS": "127.0.0.1:9",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dashboard", "--port", "0", env=environ, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("dashboard listens at http://127.0.0.1:")
    url = line.split()[-1]
    token = await asyncio.to_thread((tmp_path / "dashboard.token").read_text)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}healthz") as answer:
            assert answer.status == 200
        headers = {"Authorization": f"Bearer {token.strip()}"}
        async with session.get(f"{url}api/v1/events", headers=headers) as stream:
            await stream.content.readline()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                assert await process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors have no limit there")
async def test_a_flood_of_strangers_keeps_nobody_from_the_pages(tmp_path: Path) -> None:
    """300 connections that are idle, or stop in a header or a body, at 256 descriptors."""
    import resource

    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LUABUS_RUN_DIR": str(tmp_path),
        "LUABUS_ROUTERS": "127.0.0.1:9",
    }
    log = tmp_path / "said"
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dashboard", "--port", "0", env=environ, stdout=asyncio.subprocess.PIPE, stderr=said,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
        )  # fmt: skip
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    port = int(url.split(":")[2].rstrip("/"))
    token = (tmp_path / "dashboard.token").read_text().strip()
    body = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n"
    writers = []
    try:
        for number in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write((b"", b"GET / HTTP/1.1\r\nHost: ", body)[number % 3])
            writers.append(writer)
        before = psutil.Process(process.pid).cpu_times()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            for path in ("healthz", "login", f"login?token={token}", "healthz"):
                async with asyncio.timeout(2), session.get(f"{url}{path}") as answer:
                    assert answer.status < 400
        await asyncio.sleep(1)
        after = psutil.Process(process.pid).cpu_times()
        assert after.user + after.system - before.user - before.system < 1.0
        assert len(log.read_bytes().splitlines()) < 30
    finally:
        for writer in writers:
            writer.transport.abort()
        process.terminate()
        await process.wait()
