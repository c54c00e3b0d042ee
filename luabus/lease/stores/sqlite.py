"""The embedded store: one SQLite file on this machine's own disk. Never on a network file system, whose locks lie."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from luabus import forks
from luabus.lease.stores.base import DEFAULT_NAMESPACE, DEFAULT_TIMEOUT_S, LeaseRow, LeaseStoreError, describe
from luabus.lease.stores.store_thread import StoreThread

T = TypeVar("T")

_parents: list[sqlite3.Connection | None] = []
"""Connections of the process that forked this one, kept so that nothing closes them."""

_CREATE = """
CREATE TABLE IF NOT EXISTS luabus_lease (
    namespace TEXT NOT NULL, group_id INTEGER NOT NULL,
    holder INTEGER NOT NULL, incarnation INTEGER NOT NULL,
    epoch INTEGER NOT NULL, seq INTEGER NOT NULL, heir INTEGER NOT NULL,
    PRIMARY KEY (namespace, group_id)
) WITHOUT ROWID
"""
_READ = "SELECT holder, incarnation, epoch, seq, heir FROM luabus_lease WHERE namespace = ? AND group_id = ?"
_INSERT = (
    "INSERT INTO luabus_lease (holder, incarnation, epoch, seq, heir, namespace, group_id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_UPDATE = (
    "UPDATE luabus_lease SET holder = ?, incarnation = ?, epoch = ?, seq = ?, heir = ? "
    "WHERE namespace = ? AND group_id = ? AND epoch = ? AND seq = ?"
)


class SqliteStore:
    """Leases in the SQLite file `path`, which is made on first use, with its folder.

    All SQLite calls run in one daemon thread, so a disk that hangs holds up neither the loop nor the process's end.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        namespace: str = DEFAULT_NAMESPACE,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._path = Path(path).absolute()  # now: the process may change its working directory
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._worker: StoreThread | None = None
        # Half the time-out may go into waiting for other processes' locks; the rest is for the disk.
        self._file = _File(self._path, busy_s=timeout_s / 2)

    @property
    def address(self) -> str:
        """The file."""
        return f"sqlite:///{self._path}"

    async def read(self, group: int) -> LeaseRow | None:
        """See `LeaseStore`."""
        return await self._run("read", lambda: self._file.read(self._namespace, group))

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        """See `LeaseStore`."""
        return await self._run(
            "compare-and-set", lambda: self._file.swap(self._namespace, group, expected, new)
        )

    async def close(self) -> None:
        """See `LeaseStore`."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(self._file.close, self._timeout_s)

    async def _run(self, what: str, call: Callable[[], T]) -> T:
        if self._worker is None:
            self._worker = StoreThread("luabus-lease-sqlite")
        try:
            return await self._worker.run(call, self._timeout_s)
        except (sqlite3.Error, OSError, TimeoutError) as error:
            reason = f"{what}: {describe(error)}"
            raise LeaseStoreError(
                f"lease store {self.address}: {reason}", store=self.address, reason=reason
            ) from error


class _File:
    """The SQLite calls. Only the worker thread makes them."""

    def __init__(self, path: Path, *, busy_s: float) -> None:
        self._path = path
        self._busy_s = busy_s
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        forks.watch(self)

    def forked(self) -> None:
        """This process is a child, where SQLite forbids to use the connection, and to close it."""
        _parents.append(self._db)

    def read(self, namespace: str, group: int) -> LeaseRow | None:
        row = self._execute(_READ, (namespace, group)).fetchone()
        return None if row is None else LeaseRow(group, *row)

    def swap(self, namespace: str, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        # An epoch must outlive a power cut. A renewal need not: who renewed is gone then, like all who saw it. And while the
        # disk is waited for all others are locked out: for as long as this process is frozen, if it is frozen then.
        values = (new.holder, new.incarnation, new.epoch, new.seq, new.transferee, namespace, group)
        # One statement is one transaction, which takes the write lock before it looks at the row.
        if expected is None:
            return self._execute(_INSERT, values).rowcount == 1
        durable = new.epoch != expected.epoch
        return self._execute(_UPDATE, (*values, expected.epoch, expected.seq), durable=durable).rowcount == 1

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _execute(self, statement: str, values: tuple[object, ...], *, durable: bool = True) -> sqlite3.Cursor:
        try:
            db = self._connection()
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else _fast(db)}")
            return db.execute(statement, values)
        except BaseException:
            self.close()  # the next call starts afresh
            raise

    def _connection(self) -> sqlite3.Connection:
        # A file that was removed or replaced beneath an open connection: two candidates would vote in two files.
        if self._db is not None and self._identity != _identity(self._path):
            self.close()
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, timeout=self._busy_s, isolation_level=None)
            _keep_journal(self._db)
            self._db.execute(_CREATE)
            self._identity = _identity(self._path)
        return self._db


def _fast(db: sqlite3.Connection) -> str:
    """How little may be waited for so that an earlier epoch still outlives a power cut: in WAL it lies in the log until that is
    copied into the file, and without NORMAL nobody waits for the copy."""
    return "NORMAL" if _journal_mode(db) == "wal" else "OFF"


def _journal_mode(db: sqlite3.Connection) -> str:
    return str(db.execute("PRAGMA journal_mode").fetchone()[0])


def _keep_journal(db: sqlite3.Connection) -> None:
    """A rollback journal which stays and is overwritten. Removing it for each commit costs several times the time (during which
    all others are locked out), and would need `synchronous = EXTRA` to outlive a power cut.

    A file that another program has set to WAL (a browser of databases, a replicator) is set back when nobody else has it open.
    When somebody has, that is impossible, and waiting for it would keep this candidate out: it serves as it is, too.
    """
    if _journal_mode(db) != "wal":
        db.execute("PRAGMA journal_mode = PERSIST")
        return
    (busy_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 0")
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA journal_mode = PERSIST")
    db.execute(f"PRAGMA busy_timeout = {busy_ms}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
