"""Counters become rates: what was counted between two looks, by the clock of the process that counts.

How long the answers take, and how often one looks, changes nothing: a look that follows another closely makes no rate of its
own (a message more or less within 50 ms would be 20 a second).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from luabus.cluster.state import ConnectionState

LEAST_S: Final = 0.8
"""Between the two looks that a rate is made of: a little less than the poller's second."""

COUNTED: Final = {
    "rate_in": "messages_in",
    "rate_out": "messages_out",
    "byte_rate_in": "bytes_in",
    "byte_rate_out": "bytes_out",
}
"""Each rate of a connection, and the counter that it is of."""


class ConnectionRates:
    """Messages and bytes per second of each connection. Give it the rows of one look after another."""

    def __init__(self) -> None:
        self._base: dict[tuple[str, int], ConnectionState] = {}

    def of(self, rows: Sequence[ConnectionState]) -> tuple[ConnectionState, ...]:
        """The rows with their rates. A new connection, or one whose counters went back, has none."""
        base, result = {}, []
        for row in rows:
            key = row.router, row.token
            before = self._base.get(key)
            if before is None or _began_anew(before, row):
                rated = base[key] = row
            elif row.connected_s - before.connected_s < LEAST_S:
                rated = replace(row, **{rate: getattr(before, rate) for rate in COUNTED})
                base[key] = before
            else:
                rated = base[key] = replace(row, **_rates(before, row))
            result.append(rated)
        self._base = base
        return tuple(result)


def _began_anew(before: ConnectionState, row: ConnectionState) -> bool:
    return (
        row.connected_s < before.connected_s
        or row.messages_in < before.messages_in
        or row.messages_out < before.messages_out
    )


def _rates(before: ConnectionState, row: ConnectionState) -> dict[str, Any]:
    elapsed_s = row.connected_s - before.connected_s
    return {
        rate: round(max(getattr(row, count) - getattr(before, count), 0) / elapsed_s, 2)
        for rate, count in COUNTED.items()
    }
