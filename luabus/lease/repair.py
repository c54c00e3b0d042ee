"""Rows of a lease store with an epoch that no election can have made: found, and set right when nobody can be harmed.

Whoever frees a row makes room for another master. So a row is repaired only when nobody holds it, or when it has not changed for
a whole ttl: its holder is master no longer then, by its own clock. That is the rule by which candidates take it as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from luabus.lease.stores.base import NOBODY, LeaseRow, LeaseStore
from luabus.limits import EPOCH_LEAP, MAX_EPOCH

State = Literal["right", "wrong", "repaired", "held", "changed"]

_LOOK_S: Final = 0.5
"""So often a row is looked at that its holder may renew."""


@dataclass(frozen=True, slots=True)
class Examined:
    """One group's row. `known`: the highest epoch that routers have seen in use; 0 when none can say. `state`: `right`; `wrong`;
    `repaired`, and `epoch` is what it was, `repaired_to` what it is; `held` by somebody who renews it, or `changed` by somebody
    in the very moment, and left as it was."""

    group: int
    row: LeaseRow
    known: int
    state: State
    repaired_to: int | None = None


def is_sane(epoch: Any, known: int) -> bool:
    """Whether elections can have led to this epoch, where the routers know of `known` (0: they know of none)."""
    if type(epoch) is not int or not 0 <= epoch <= MAX_EPOCH - EPOCH_LEAP:
        return False
    return not known or epoch <= known + EPOCH_LEAP


async def repair(
    store: LeaseStore,
    groups: Mapping[int, int],
    ttl_s: float,
    *,
    epoch: int | None = None,
    dry_run: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> list[Examined]:
    """Look at the row of each of `groups` (a group's number to the highest epoch that routers know of, 0 for none), and set
    those right that are wrong: free, with `epoch`, or what the routers know. Groups without a row are left out.

    Raises `LeaseStoreError`.
    """
    rows = {number: row for number in groups if (row := await store.read(number)) is not None}
    wrong = {number for number, row in rows.items() if not is_sane(row.epoch, groups[number])}
    found = [
        Examined(number, row, groups[number], "wrong" if number in wrong else "right")
        for number, row in rows.items()
    ]
    if dry_run or not wrong:
        return found
    repairs = [
        _repair(store, one, ttl_s, epoch, clock) if one.group in wrong else _as_it_is(one) for one in found
    ]
    return [await one for one in repairs]


async def _as_it_is(examined: Examined) -> Examined:
    return examined


async def _repair(
    store: LeaseStore, examined: Examined, ttl_s: float, epoch: int | None, clock: Callable[[], float]
) -> Examined:
    row = examined.row
    since = clock()
    while row.holder != NOBODY and clock() - since < ttl_s:
        await asyncio.sleep(min(_LOOK_S, ttl_s / 4))
        now = await store.read(row.group)
        if now is None or (now.epoch, now.seq) != (row.epoch, row.seq):
            return Examined(row.group, row, examined.known, "held")
    right = epoch if epoch is not None else examined.known
    # (epoch, seq) names one written row: none that the last holder may have written with this epoch.
    seq = row.seq + 1 if type(row.seq) is int else 1
    if await store.compare_and_set(row.group, row, LeaseRow(row.group, NOBODY, 0, right, seq)):
        return Examined(row.group, row, examined.known, "repaired", right)
    return Examined(row.group, row, examined.known, "changed")
