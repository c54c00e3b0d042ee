"""Counters become rates, whenever one looks."""

from __future__ import annotations

from dashboard.collector.rates import ConnectionRates
from luabus.cluster.state import ConnectionState


def row(connected_s: float, token: int = 1, **counted: int) -> ConnectionState:
    return ConnectionState(router="router.1", token=token, name="a", connected_s=connected_s, **counted)


def test_rates_come_from_two_looks_by_the_routers_own_clock() -> None:
    rates = ConnectionRates()
    (first,) = rates.of([row(10.0, messages_in=100, messages_out=10, bytes_in=1000)])
    assert (first.rate_in, first.byte_rate_in) == (0.0, 0.0)
    (second,) = rates.of([row(12.0, messages_in=300, messages_out=10, bytes_in=5096)])
    assert (second.rate_in, second.rate_out, second.byte_rate_in) == (100.0, 0.0, 2048.0)


def test_a_look_soon_after_another_shows_the_rates_that_were() -> None:
    rates = ConnectionRates()
    rates.of([row(10.0, messages_in=0)])
    rates.of([row(11.0, messages_in=100)])
    (soon,) = rates.of([row(11.05, messages_in=120)])
    assert (soon.messages_in, soon.rate_in) == (120, 100.0)
    (later,) = rates.of([row(12.0, messages_in=200)])
    assert later.rate_in == 100.0


def test_a_new_connection_or_a_counter_that_went_back_has_no_rate() -> None:
    rates = ConnectionRates()
    rates.of([row(10.0, messages_in=100)])
    rows = rates.of([row(11.0, messages_in=50), row(0.1, token=2, messages_in=5)])
    assert [rated.rate_in for rated in rows] == [0.0, 0.0]
    rows = rates.of(
        [row(0.2, messages_in=60)]
    )  # another connection with the same token, at a router that began anew
    assert [rated.rate_in for rated in rows] == [0.0]
