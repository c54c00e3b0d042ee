"""Addresses of hosts."""

from __future__ import annotations


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it: `localhost`, or an address of the loopback. Any other name: False."""
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
