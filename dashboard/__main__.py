"""`python -m dashboard --host 127.0.0.1 --port 8070`: the dashboard of the cluster that the `LUABUS_*` environment names."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import socket
import ssl
import sys
import time
from pathlib import Path

import psutil
from aiohttp import web

from dashboard.app import make_app
from dashboard.collector.cluster_source import ClusterSource
from dashboard.collector.journal import Journal
from dashboard.collector.poller import Poller
from dashboard.http.connections import IDLE_S, Connections
from dashboard.http.context import Context, Options
from dashboard.http.ended_sessions import EndedSessions
from dashboard.http.proxies import Network, networks
from dashboard.http.tokens import TokenFiles, Tokens
from luabus import descriptors, log_signals, shutdown_signals
from luabus.descriptors import ListeningSocket
from luabus.errors import ConfigError
from luabus.host_addresses import format_address, is_loopback
from luabus.log_setup import setup_logging
from luabus.visible import visible

SHUTDOWN_S = 2.0
LAST_S = 8.0
"""Seconds after a signal until the process goes, whatever holds it up."""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dashboard", description="The dashboard of a luabus cluster."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8070, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--run-dir", default=os.environ.get("LUABUS_RUN_DIR", ".luabus"), help="where the tokens lie"
    )
    parser.add_argument(
        "--prefix", default="", help="the path under which a reverse proxy shows it, such as /luabus"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name it may be called by"
    )
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a reverse proxy's address or network: its X-Forwarded-For and X-Forwarded-Proto are believed",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM); then it serves https")
    parser.add_argument("--tls-key", metavar="FILE", help="private key (PEM)")
    parser.add_argument(
        "--allow-plaintext",
        action="store_true",
        help="listen beyond loopback without TLS: whoever can read the network can then read tokens",
    )
    return parser.parse_args(arguments)


def check(options: argparse.Namespace) -> tuple[Network, ...]:
    """Check the options; returns the trusted proxies. Raises `ConfigError` for options that are unsafe or cannot work."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError("--tls-cert and --tls-key go together", key="--tls-cert")
    if not is_loopback(options.host) and not options.tls_cert and not options.allow_plaintext:
        raise ConfigError(
            f"{options.host} is not loopback, and without TLS tokens would cross the network as they are. Give --tls-cert and "
            "--tls-key, or listen at 127.0.0.1 behind a proxy that has TLS, or say --allow-plaintext.",
            key="--host",
        )
    if options.prefix and (not options.prefix.startswith("/") or options.prefix.endswith("/")):
        raise ConfigError(
            f"--prefix {options.prefix!r}: write it as /luabus, with a slash before and none after",
            key="--prefix",
        )
    try:
        return networks(options.trusted_proxy)
    except ValueError as error:
        raise ConfigError(
            f"--trusted-proxy: {error}; write an address or a network, such as 127.0.0.1 or 10.0.0.0/8",
            key="--trusted-proxy",
        ) from None


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket. Raises `ConfigError` that names the process which holds the port."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = ListeningSocket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} is in use{_holder(port)}; choose another with --port", key="--port"
            ) from None
        raise ConfigError(
            f"cannot listen at {format_address(host, port)}: {error.strerror or error}", key="--host"
        ) from None
    return bound


def _holder(port: int) -> str:
    """Holder of a port as ` by python3 (pid 12)`; empty where the system does not show it."""
    try:
        for row in psutil.net_connections("tcp"):
            if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port and row.pid:
                return f" by {psutil.Process(row.pid).name()} (pid {row.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""


async def serve(options: argparse.Namespace, environ: dict[str, str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    proxies = check(options)
    tls: ssl.SSLContext | None = None
    if options.tls_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
    run_dir = Path(options.run_dir)
    tokens = Tokens({})
    token_files = TokenFiles(run_dir, tokens)
    source = ClusterSource(environ)
    bound = listen(options.host, options.port)
    port = int(bound.getsockname()[1])
    context = Context(
        poller=Poller(source),
        tokens=tokens,
        token_files=token_files,
        ended=EndedSessions(run_dir / "dashboard.sessions.json"),
        journal=Journal(run_dir / "dashboard.events.jsonl", time.time),
        options=Options(
            port=port,
            prefix=options.prefix,
            hosts=(options.host, *options.allow_host),
            trusted_proxies=proxies,
        ),
    )
    runner = web.AppRunner(
        make_app(context),
        shutdown_timeout=SHUTDOWN_S,
        handle_signals=False,
        # A reader that goes away ends its stream at once, not with the next thing that would be sent to it.
        handler_cancellation=True,
    )
    await runner.setup()
    assert runner.server is not None
    connections = Connections(
        runner.server,
        tls=tls,
        access_log=None,
        keepalive_timeout=IDLE_S,
        # A compressed body is refused: unpacked it may be a thousand times as large.
        auto_decompress=False,
    )
    stop = asyncio.Event()
    with shutdown_signals.hearing(stop.set, limit_s=LAST_S):
        try:
            connections.start(bound)
            scheme = "https" if tls else "http"
            sys.stdout.write(
                f"dashboard listens at {scheme}://{format_address(options.host, port)}{options.prefix}/\n"
            )
            sys.stdout.flush()
            await stop.wait()
        finally:
            await connections.stop()
            bound.close()
            await runner.cleanup()


def main(arguments: list[str] | None = None) -> int:
    log_signals.survive()
    options = parse(sys.argv[1:] if arguments is None else arguments)
    descriptors.raise_limit()
    try:
        setup_logging(os.environ.get("LUABUS_LOG_LEVEL") or "INFO", supervised=True)
        asyncio.run(serve(options, dict(os.environ)))
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"dashboard: {visible(str(error))}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
