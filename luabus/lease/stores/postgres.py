"""Leases in a PostgreSQL table, by psycopg 3."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final, LiteralString, TypeVar

import psycopg

from luabus.lease.stores.address import Address
from luabus.lease.stores.base import DEFAULT_NAMESPACE, DEFAULT_TIMEOUT_S, LeaseRow, LeaseStoreError, describe
from luabus.lease.stores.store_thread import StoreThread

T = TypeVar("T")

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS luabus_lease (
    namespace text NOT NULL, group_id integer NOT NULL,
    holder bigint NOT NULL, incarnation bigint NOT NULL,
    epoch bigint NOT NULL, seq bigint NOT NULL, heir bigint NOT NULL,
    PRIMARY KEY (namespace, group_id)
)
"""
_CREATE_LOCK: Final = (
    0x6C75_6162_7573  # any number that only luabus uses: two sessions cannot create one table at once
)
_READ: Final = (
    "SELECT holder, incarnation, epoch, seq, heir FROM luabus_lease WHERE namespace = %s AND group_id = %s"
)
_INSERT: Final = (
    "INSERT INTO luabus_lease (holder, incarnation, epoch, seq, heir, namespace, group_id) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
_UPDATE: Final = (
    "UPDATE luabus_lease SET holder = %s, incarnation = %s, epoch = %s, seq = %s, heir = %s "
    "WHERE namespace = %s AND group_id = %s AND epoch = %s AND seq = %s"
)
_STATEMENT_TIMEOUT: Final = "SELECT set_config('statement_timeout', %s, false)"
# A commit that is not on disk when it is answered could be taken back by a crash of the server.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)


class PostgresStore:
    """See `LeaseStore`. The table `luabus_lease` is made on first use, in the user's default schema.

    psycopg is used in a thread of its own: its asyncio flavour does not run on Windows' default loop, and its answer to
    cancellation is to wait for the server.
    """

    def __init__(
        self, address: Address, *, namespace: str = DEFAULT_NAMESPACE, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._worker: StoreThread | None = None
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def address(self) -> str:
        """The URL, without credentials."""
        return str(self._address)

    async def read(self, group: int) -> LeaseRow | None:
        """See `LeaseStore`."""
        row = await self._run("read", lambda: self._execute(_READ, self._namespace, group).fetchone())
        return None if row is None else LeaseRow(group, *row)

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        """See `LeaseStore`."""
        values = (new.holder, new.incarnation, new.epoch, new.seq, new.transferee, self._namespace, group)
        if expected is None:
            return await self._run("compare-and-set", lambda: self._execute(_INSERT, *values).rowcount == 1)
        return await self._run(
            "compare-and-set",
            lambda: self._execute(_UPDATE, *values, expected.epoch, expected.seq).rowcount == 1,
        )

    async def close(self) -> None:
        """See `LeaseStore`."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(self._disconnect, self._timeout_s)

    async def _run(self, what: str, call: Callable[[], T]) -> T:
        if self._worker is None:
            self._worker = StoreThread("luabus-lease-postgresql")
        try:
            return await self._worker.run(call, self._timeout_s)
        except TimeoutError as error:
            self._cut()
            raise self._error(what, error) from error
        except psycopg.Error as error:
            raise self._error(what, error) from error

    def _error(self, what: str, error: Exception) -> LeaseStoreError:
        reason = f"{what}: {describe(error)}"
        return LeaseStoreError(f"lease store {self.address}: {reason}", store=self.address, reason=reason)

    def _cut(self) -> None:
        """End the call that hangs, so that the thread is free for the next one: by shutting its socket down."""
        connection = self._connection
        with contextlib.suppress(OSError, psycopg.Error):
            if connection is not None:
                with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)

    # In the thread.

    def _execute(self, statement: LiteralString, *values: object) -> psycopg.Cursor[Any]:
        try:
            connection = self._connection
            if connection is None:
                # Kept from its first moment, so that `_cut` reaches it while it is being prepared.
                connection = self._connection = self._connect()
                self._prepare(connection)
            return connection.execute(statement, values)
        except BaseException:
            self._disconnect()  # the next call starts afresh
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        options: dict[str, Any] = {
            "connect_timeout": max(1, int(self._timeout_s)),
            "application_name": "luabus",
            "target_session_attrs": "read-write",
            "user": self._address.user,
            "password": self._address.password,
        }
        given = self._address.parameters
        return psycopg.connect(
            self._address.url(with_credentials=False),
            autocommit=True,
            prepare_threshold=None,
            **{key: value for key, value in options.items() if value is not None and key not in given},
        )

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(_STATEMENT_TIMEOUT, [str(int(self._timeout_s * 1000))])
        connection.execute(_DURABLE)
        if connection.execute("SELECT to_regclass('luabus_lease')").fetchone() == (None,):
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATE_LOCK])
                connection.execute(_CREATE)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
