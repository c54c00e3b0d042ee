from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from luabus.lease import LeaseStore, LeaseStoreError, open_store
from luabus.lease.stores.base import LeaseRow
from luabus.lease.stores.sqlite import _File
from tests.luabus.lease.conftest import Opener
from tests.support.lease_servers import SqliteFile

FIRST = LeaseRow(group=5, holder=0x0005_0001, incarnation=1, epoch=1, seq=0)
OTHER = LeaseRow(group=5, holder=0x0005_0002, incarnation=2, epoch=1, seq=0)


@pytest.fixture
def file(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path)


async def test_many_may_be_the_first(file: SqliteFile, connect: Opener) -> None:
    """The folder, the file and the table are made by whoever comes first, while others come."""
    stores = [connect(file) for _ in range(8)]
    rows = [LeaseRow(5, 0x0005_0001 + i, 100 + i, 1, 0) for i in range(len(stores))]
    won = await asyncio.gather(
        *(store.compare_and_set(5, None, row) for store, row in zip(stores, rows, strict=True))
    )
    assert sum(won) == 1


async def test_a_rollback_journal(file: SqliteFile, connect: Opener) -> None:
    """Also when somebody had set the file to write-ahead logging."""
    file.path.parent.mkdir()
    with sqlite3.connect(file.path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    store = connect(file)
    await store.compare_and_set(5, None, FIRST)
    check = sqlite3.connect(file.path)
    assert check.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    check.close()


HOLDS_OPEN = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "reading":
    db.execute("BEGIN")
db.execute("SELECT * FROM luabus_lease").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("doing", ["idle", "reading"])
async def test_a_file_in_wal_mode_that_another_process_has_open_is_taken_as_it_is(
    file: SqliteFile, connect: Opener, doing: str
) -> None:
    running = connect(file)
    await running.compare_and_set(5, None, FIRST)
    tool = sqlite3.connect(file.path)
    assert tool.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    tool.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS_OPEN, str(file.path), doing, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    try:
        assert await running.read(5) == FIRST  # the running candidate goes on
        began = time.monotonic()
        restarted = connect(file)
        assert await restarted.read(5) == FIRST
        assert await restarted.compare_and_set(5, FIRST, replace(FIRST, seq=1))
        assert await running.compare_and_set(5, replace(FIRST, seq=1), replace(OTHER, epoch=2))
        assert not await restarted.compare_and_set(5, replace(FIRST, seq=1), replace(FIRST, seq=2))
        assert time.monotonic() - began < 0.5  # nobody waited for the other to go
    finally:
        process.kill()
        await process.wait()
    assert await connect(file).read(5) == replace(OTHER, epoch=2)


def test_in_wal_mode_a_renewal_does_not_undo_what_a_power_cut_must_leave(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "lease.db") as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE t (a)")
        file = _File(tmp_path / "lease.db", busy_s=1.0)
        assert file.swap("x", 5, None, FIRST)
        assert file.swap("x", 5, FIRST, replace(FIRST, seq=1))
        assert file._db is not None
        assert file._db.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL
        assert file._db.execute("PRAGMA busy_timeout").fetchone() == (1000,)
        file.close()
    other.close()


def test_an_epoch_outlives_a_power_cut_and_a_renewal_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    file = _File(tmp_path / "lease.db", busy_s=1.0)

    def synchronous() -> int:
        assert file._db is not None
        return int(file._db.execute("PRAGMA synchronous").fetchone()[0])

    full, off = 2, 0
    renewed = replace(FIRST, seq=1)
    assert file.swap("x", 5, None, FIRST)
    assert synchronous() == full
    assert file.swap("x", 5, FIRST, renewed)
    assert synchronous() == off
    assert file.swap("x", 5, renewed, replace(OTHER, epoch=2))
    assert synchronous() == full
    file.close()


async def test_a_writer_waits_for_the_others(file: SqliteFile, connect: Opener) -> None:
    """Readers and writers of several connections at once: nobody is refused with "database is locked"."""
    stores = [connect(file) for _ in range(6)]

    async def count(store: LeaseStore, group: int) -> None:
        row: LeaseRow | None = None
        for seq in range(25):
            new = LeaseRow(group, 1, 1, 1, seq)
            assert await store.compare_and_set(group, row, new)
            for other in range(6):
                await store.read(other)
            row = new

    await asyncio.gather(*(count(store, group) for group, store in enumerate(stores)))


async def test_a_file_that_is_replaced_is_followed(file: SqliteFile, connect: Opener) -> None:
    """Two candidates must not go on in two files."""
    store, other = connect(file), connect(file)
    assert await store.compare_and_set(5, None, FIRST)
    file.path.unlink()
    assert await other.compare_and_set(5, None, OTHER)
    assert await store.read(5) == OTHER


async def test_what_is_no_database_is_said(tmp_path: Path, connect: Opener) -> None:
    file = SqliteFile(tmp_path)
    file.path.parent.mkdir()
    file.path.write_bytes(b"something else entirely, of some length" * 100)
    with pytest.raises(LeaseStoreError, match="file is not a database"):
        await connect(file).read(5)


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    store = open_store(f"sqlite:///{tmp_path}/occupied/lease.db")
    with pytest.raises(LeaseStoreError, match="occupied"):
        await store.read(5)
    await store.close()


async def test_a_writer_that_is_killed_leaves_a_whole_row(file: SqliteFile, connect: Opener) -> None:
    """kill -9 in the middle of writing, again and again: what is there is always the last or the next row."""
    program = """
import asyncio, sys
from luabus.lease.stores.base import LeaseRow
from luabus.lease import open_store

async def main(url, namespace):
    store = open_store(url, namespace=namespace)
    row = await store.read(5)
    while True:
        new = LeaseRow(5, 1, 1, 1, 0 if row is None else row.seq + 1)
        if await store.compare_and_set(5, row, new):
            row = new
            print(row.seq, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
    last = -1
    for _ in range(3):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, file.url, connect.namespace, stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(20):
            last = int(await writer.stdout.readline())
        writer.kill()
        rest, _ = await writer.communicate()
        last = int(rest.split()[-1]) if rest.split() else last
        row = await connect(file).read(5)
        assert row is not None
        assert row.seq in (last, last + 1)
        last = row.seq


async def test_closing_ends_the_thread_and_the_file(file: SqliteFile, namespace: str) -> None:
    store = open_store(file.url, namespace=namespace)
    await store.read(5)
    await store.close()
    await store.close()
    file.path.unlink()  # which Windows would refuse while it is open
