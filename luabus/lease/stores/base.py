"""What a lease store is: one row per group, read and compare-and-set. And how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from luabus.errors import LuabusError
from luabus.exception_text import name_of, text_of

DEFAULT_NAMESPACE = "luabus"
"""Rows of several clusters can share one server: each has its namespace (the cluster's name)."""

DEFAULT_TIMEOUT_S = 2.5

NOBODY: Final = 0
"""`holder` of a free row, and `transferee` of a row that names none. No service has this id."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """What a store keeps per group. (epoch, seq) only ever rises, and names one written row."""

    group: int
    holder: int
    incarnation: int
    epoch: int
    seq: int
    transferee: int = NOBODY


class LeaseStoreError(LuabusError):
    """The store `store` (an address without credentials) failed, or did not answer within its time-out.

    A compare-and-set which ends like this may have been carried out, or may be later.
    """

    store: str = ""
    reason: str = ""


class LeaseStore(Protocol):
    """Where the leases' rows are kept. Opening it does no I/O: the first operation connects, and makes the table.

    Every operation ends within the store's time-out, whatever the server does, and raises `LeaseStoreError` when it
    could not be carried out. One operation at a time. Cancelling one leaves its outcome unknown.
    """

    @property
    def address(self) -> str:
        """Where it is, without credentials."""

    async def read(self, group: int) -> LeaseRow | None:
        """The group's row, as of some moment between the call and the return; None when there is none."""

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        """Write `new` if the row still has `expected`'s epoch and seq (None: if there is no row); say whether it did.

        Done by the server in one step, and durable before it answers. Never tried twice.
        """

    async def close(self) -> None:
        """Let go of connections and threads. Bounded in time; no operation may follow."""


def describe(error: BaseException) -> str:
    """The reason in one line, for a message: an exception without a text is named by its type."""
    text = " ".join(text_of(error).split())
    return text or name_of(type(error))
