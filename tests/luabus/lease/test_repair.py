"""Rows that no election can have made: which they are, when they are set right, and when not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from luabus.lease.repair import is_sane, repair
from luabus.lease.stores.base import LeaseRow
from luabus.limits import EPOCH_LEAP, MAX_EPOCH

HOLDER = 0x0003_0001


class Store:
    """Rows in memory; `meanwhile(row)` happens before each read."""

    address = "memory"

    def __init__(self, *rows: LeaseRow, meanwhile: Callable[[LeaseRow], LeaseRow] = lambda row: row) -> None:
        self.rows = {row.group: row for row in rows}
        self.meanwhile = meanwhile

    async def read(self, group: int) -> LeaseRow | None:
        row = self.rows.get(group)
        if row is not None:
            self.rows[group] = self.meanwhile(row)
        return row

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        row = self.rows[group]
        if expected is None or (row.epoch, row.seq) != (expected.epoch, expected.seq):
            return False
        self.rows[group] = new
        return True

    async def close(self) -> None:
        pass


class Clock:
    """Each look is a second later."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize(
    ("epoch", "known", "sane"),
    [
        (0, 0, True), (5, 5, True), (5, 0, True), (6 + EPOCH_LEAP, 5, False), (5 + EPOCH_LEAP, 5, True), (3, 5, True),
        (MAX_EPOCH, 0, False), (1 << 32, 0, False), (-1, 0, False), ("5", 0, False), (True, 0, False), (5.0, 0, False),
        (10_000_000, 0, True),
    ],
)  # fmt: skip
def test_which_epochs_elections_can_have_led_to(epoch: object, known: int, sane: bool) -> None:
    assert is_sane(epoch, known) is sane


async def test_what_is_right_stays_and_what_is_not_there_is_left_out() -> None:
    store = Store(LeaseRow(3, HOLDER, 7, 5, 9))
    (found,) = await repair(store, {3: 5, 4: 0}, 1.0)
    assert (found.state, found.row.epoch, found.repaired_to) == ("right", 5, None)
    assert store.rows == {3: LeaseRow(3, HOLDER, 7, 5, 9)}


@pytest.mark.parametrize(("known", "epoch", "goes_on"), [(5, None, 5), (0, None, 0), (5, 90, 90)])
async def test_a_free_row_is_set_right_at_once(known: int, epoch: int | None, goes_on: int) -> None:
    store = Store(LeaseRow(3, 0, 0, MAX_EPOCH, 9))
    (found,) = await repair(store, {3: known}, 3600.0, epoch=epoch)
    assert (found.state, found.row.epoch, found.repaired_to) == ("repaired", MAX_EPOCH, goes_on)
    assert store.rows[3] == LeaseRow(3, 0, 0, goes_on, 10)


async def test_a_row_that_nobody_renews_is_set_right_after_a_ttl() -> None:
    store = Store(LeaseRow(3, HOLDER, 7, 1 << 32, 9))
    (found,) = await repair(store, {3: 5}, 0.02, clock=Clock())
    assert found.state == "repaired"
    assert store.rows[3].holder == 0


async def test_a_row_that_its_holder_renews_is_left() -> None:
    store = Store(
        LeaseRow(3, HOLDER, 7, MAX_EPOCH, 9),
        meanwhile=lambda row: LeaseRow(3, HOLDER, 7, row.epoch, row.seq + 1),
    )
    (found,) = await repair(store, {3: 5}, 0.2)
    assert found.state == "held"
    assert store.rows[3].holder == HOLDER


async def test_a_row_that_changes_in_the_very_moment_is_left() -> None:
    store = Store(LeaseRow(3, 0, 0, MAX_EPOCH, 9), meanwhile=lambda row: LeaseRow(3, HOLDER, 7, 1, 0))
    (found,) = await repair(store, {3: 5}, 1.0)
    assert found.state == "changed"
    assert store.rows[3] == LeaseRow(3, HOLDER, 7, 1, 0)


async def test_a_dry_run_only_looks() -> None:
    store = Store(LeaseRow(3, 0, 0, MAX_EPOCH, 9))
    (found,) = await repair(store, {3: 5}, 1.0, dry_run=True)
    assert found.state == "wrong"
    assert store.rows[3].epoch == MAX_EPOCH
