"""Who gives a place up."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from luabus.transport import places
from luabus.transport.places import Places


class Stranger:
    def __init__(self, token: int) -> None:
        self.token = token
        self.is_closed = False

    def end(self, error: Exception, *, abort: bool) -> None:
        assert abort
        self.is_closed = True


def test_the_oldest_stranger_gives_way_and_members_never(caplog: pytest.LogCaptureFixture) -> None:
    full = Places(3)
    everybody: list[Any] = [Stranger(token) for token in range(3)]
    for one in everybody:
        full.accepted(one)
    full.known(0)  # a member now
    with caplog.at_level(logging.WARNING):
        assert [full.has_one(3) for _ in range(3)] == [True, True, False]
    assert [one.is_closed for one in everybody] == [False, True, True]
    assert full.refused == 3
    assert len(caplog.records) == 1
    assert full.has_one(2)


def test_it_is_said_again_after_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    full = Places(1)
    now = 1000.0
    monkeypatch.setattr(places.time, "monotonic", lambda: now)
    for seconds in (0, 30, 61, 62):
        now = 1000.0 + seconds
        full.has_one(1)
    assert len(caplog.records) == 2
    assert full.refused_at == now
