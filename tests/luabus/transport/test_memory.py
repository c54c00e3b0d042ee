from __future__ import annotations

from luabus.transport.memory import give_back


def test_it_may_be_asked_for_at_any_time() -> None:
    give_back()
    give_back()
