"""Leases in Redis hashes, by redis-py; one Lua script per step.

Redis must keep what it has confirmed: `appendonly yes` with `appendfsync always`, and no fail-over to a replica which
may lag behind. What it loses nonetheless is caught by the routers, which refuse an epoch they have seen before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Final, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from luabus.errors import ConfigError
from luabus.lease.stores.address import Address
from luabus.lease.stores.base import DEFAULT_NAMESPACE, DEFAULT_TIMEOUT_S, LeaseRow, LeaseStoreError, describe

T = TypeVar("T")

_READ: Final = "return redis.call('HMGET', KEYS[1], 'holder', 'incarnation', 'epoch', 'seq', 'heir')"

# Numbers are compared as the texts they are stored as: Lua's have only 53 bits.
_SWAP: Final = """
local held = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if (held[1] or '') ~= ARGV[1] or (held[2] or '') ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], 'holder', ARGV[3], 'incarnation', ARGV[4],
    'epoch', ARGV[5], 'seq', ARGV[6], 'heir', ARGV[7])
return 1
"""


class RedisStore:
    """See `LeaseStore`. A group's row is the hash `NAMESPACE:lease:GROUP`."""

    def __init__(
        self, address: Address, *, namespace: str = DEFAULT_NAMESPACE, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._timeout_s = timeout_s
        login: dict[str, Any] = {"username": address.user, "password": address.password}
        try:
            self._redis = Redis.from_url(
                address.url(with_credentials=False),
                **{key: value for key, value in login.items() if value is not None},
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                # A script sent a second time would find its own first writing and report that somebody else's.
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
        except ValueError as error:
            raise ConfigError(f"the lease store {address}: {error}", key="lease.store") from None

    @property
    def address(self) -> str:
        """The URL, without credentials."""
        return str(self._address)

    async def read(self, group: int) -> LeaseRow | None:
        """See `LeaseStore`."""
        row = await self._run("read", self._redis.eval(_READ, 1, self._key(group)))
        try:
            return None if row[2] is None else LeaseRow(group, *map(int, row))
        except (TypeError, ValueError):
            raise self._error("read", f"{self._key(group)} holds no lease: {row!r:.200}") from None

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        """See `LeaseStore`."""
        version = ("", "") if expected is None else (expected.epoch, expected.seq)
        # As plain numbers: redis-py would send `str()` of a subclass of int, such as a ServiceId.
        values = map(int, (new.holder, new.incarnation, new.epoch, new.seq, new.transferee))
        done = await self._run(
            "compare-and-set", self._redis.eval(_SWAP, 1, self._key(group), *version, *values)
        )
        return bool(done)

    async def close(self) -> None:
        """See `LeaseStore`."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await self._redis.aclose()

    def _key(self, group: int) -> str:
        return f"{self._namespace}:lease:{group}"

    async def _run(self, what: str, command: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await cast(Awaitable[Any], command)
        except TimeoutError:
            raise self._error(what, f"no answer within {self._timeout_s:g} s") from None
        except (RedisError, OSError) as error:
            raise self._error(what, describe(error)) from error

    def _error(self, what: str, text: str) -> LeaseStoreError:
        reason = f"{what}: {text}"
        return LeaseStoreError(f"lease store {self.address}: {reason}", store=self.address, reason=reason)
