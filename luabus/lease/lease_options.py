"""How a group's lease is kept: one value, given to its candidates."""

from __future__ import annotations

from dataclasses import dataclass

from luabus import option_checks
from luabus.lease.stores.base import DEFAULT_NAMESPACE, LeaseStore


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """`store`: a URL (see `luabus.lease`; whoever stands for election then opens and closes it) or an open store, which stays the
    caller's. `ttl` and `renew` in seconds: every candidate of a group must use the same `ttl`. `namespace` keeps several
    clusters at one store apart: the cluster's name.
    """

    store: LeaseStore | str
    ttl: float = 10.0
    renew: float = 1.0
    namespace: str = DEFAULT_NAMESPACE

    def __post_init__(self) -> None:
        """Raises `ConfigError` for times that are none."""
        option_checks.check(lease_ttl=self.ttl, lease_renew=self.renew)
