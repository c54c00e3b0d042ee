"""Who is at the other end, what it calls us, and through which scheme: what of a request's headers is believed. Pure.

A header is what its sender likes. `X-Forwarded-For` and `X-Forwarded-Proto` count only from the proxies that are configured
as trusted; each hop that those name is believed as long as the hop that wrote it is trusted itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN: Final = "unknown"
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?", re.ASCII)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks in words (`127.0.0.1`, `10.0.0.0/8`). Raises ValueError for one that is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def believed(remote: str | None, trusted: Sequence[Network]) -> bool:
    """Whether what came from this address is a trusted proxy's word."""
    address = _address(remote or "")
    return address is not None and _within(address, trusted)


def client_address(remote: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that a request comes from: the last hop that is no trusted proxy.

    `forwarded_for` are the values of all `X-Forwarded-For` headers in their order; each proxy adds at the end whom it heard. What
    is no address ends the search: then the proxy that let it pass is the one to name.
    """
    address = _address(remote or "")
    if address is None:
        return remote or UNKNOWN
    for hop in reversed(",".join(forwarded_for).split(",")):
        if not _within(address, trusted):
            break
        claimed = _address(_without_port(hop.strip().strip('"')))
        if claimed is None:
            break
        address = claimed
    return str(address)


def scheme_of(
    own: str, remote: str | None, forwarded_proto: Sequence[str], trusted: Sequence[Network]
) -> str:
    """`http` or `https`, as the browser sees it: what the trusted proxy next to us says, else how the request reached us."""
    claimed = ",".join(forwarded_proto).rpartition(",")[2].strip().lower()
    return claimed if claimed in _PORTS and believed(remote, trusted) else own


def host_name(host: str | None) -> str | None:
    """The name or address in a `Host` header, in small letters and without brackets; None when it is no such thing."""
    match = _HOST.fullmatch(host or "")
    return match[1].strip("[]").lower() if match else None


def same_origin(origin: str, schemes: Iterable[str], host: str) -> bool:
    """Whether a page's `Origin` is ours: one of these schemes, and the name and port of `host`."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in schemes or parts.path or parts.query or parts.fragment:
        return False
    ours = _endpoint(parts.scheme, host)
    return ours is not None and ours == _endpoint(parts.scheme, parts.netloc)


def _endpoint(scheme: str, host: str) -> tuple[str, int] | None:
    match = _HOST.fullmatch(host)
    return (match[1].lower(), int(match[2] or _PORTS[scheme])) if match else None


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(text: str) -> str:
    """Some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _within(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
