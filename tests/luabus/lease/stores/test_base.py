from __future__ import annotations

from luabus.errors import from_wire
from luabus.lease.stores.base import LeaseStoreError, describe


def test_the_error_has_its_fields_and_travels() -> None:
    error = LeaseStoreError(
        "lease store redis://host: read: refused", store="redis://host", reason="read: refused"
    )
    again = from_wire(error.to_wire())
    assert isinstance(again, LeaseStoreError)
    assert (str(again), again.store, again.reason) == (str(error), "redis://host", "read: refused")


def test_reasons_are_one_line_and_never_empty() -> None:
    assert describe(OSError("two\n\tlines")) == "two lines"
    assert describe(TimeoutError()) == "TimeoutError"
