"""Next hops that are nowhere."""

from __future__ import annotations

from luabus.routing.sinks import NO_MASTER_NOW, NOBODY


def test_nowhere_has_no_credit_for_the_smallest_frame() -> None:
    assert NOBODY.credit < 0
    assert NO_MASTER_NOW.credit < 0
    assert NOBODY.reason != NO_MASTER_NOW.reason
