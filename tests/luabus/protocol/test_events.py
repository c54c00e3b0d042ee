"""What a session tells, where nobody wants to know."""

from __future__ import annotations

import pytest

from luabus.protocol.events import Receiver, SessionEvents


def test_events_that_nobody_wants_do_nothing_and_an_answer_is_the_last() -> None:
    events = SessionEvents()
    events.opened()
    events.called(0, 0, 0, b"", 0, 0)
    events.ended(None, "", was_open=True)
    assert events.answered("waiter", 0, 1)
    assert events.ping_body() == b""


def test_a_receiver_must_take_calls() -> None:
    with pytest.raises(NotImplementedError):
        Receiver().take(None, 0, 0, 0, b"", 0, 0)
