"""Addresses of hosts: read, written, compared. `HOST:PORT` everywhere, an IPv6 address in brackets: `[::1]:7070`."""

from __future__ import annotations

from luabus.errors import ConfigError
from luabus.exception_text import plain, repr_of
from luabus.limits import DEFAULT_PORT


def format_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> tuple[str, int]:
    """`host:port`, `host` (the default port) or `[::1]:7070`. Raises `ConfigError`, also for an IPv6 address without brackets:
    whether `::1:7070` has a port is anybody's guess."""
    if type(text) is not str:
        text = plain(text)  # type: ignore[assignment]
        if type(text) is not str:
            raise _no_address(text)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if bracketed != (":" in host) or not host or not _is_port(port):
        raise _no_address(text)
    return host, int(port)


def parse_peer(text: str) -> tuple[str, int]:
    """As `parse_address`, for an address to connect to: port 0 is none."""
    host, port = parse_address(text)
    if not port:
        raise _no_address(text)
    return host, port


def canonical(host: str, port: int) -> tuple[str, int]:
    """The one way to write this address: of two that are equal, equal. Names are not looked up."""
    import ipaddress

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix("."), port
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), port


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it: `localhost`, or an address of the loopback. Any other name: False."""
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_address(text: object) -> ConfigError:
    example = f"127.0.0.1:{DEFAULT_PORT} or [::1]:{DEFAULT_PORT}"
    return ConfigError(
        f"{repr_of(text)} is not an address; write HOST:PORT, such as {example}", key="routers"
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= 65535
