"""How a group's lease is kept."""

from __future__ import annotations

from luabus.lease.lease_options import LeaseOptions
from luabus.lease.stores.base import DEFAULT_NAMESPACE


def test_the_defaults() -> None:
    options = LeaseOptions("sqlite:///lease.db")
    assert (options.ttl, options.renew, options.namespace) == (10.0, 1.0, DEFAULT_NAMESPACE)
